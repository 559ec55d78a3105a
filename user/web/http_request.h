/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers the requests of the HTTP server: decides what a client may ask for. */
#pragma once

#include "web/http_server.h"

/* Handles the head of a request; for an action, *ret_state is then its struct action_client. */
enum MHD_Result http_request_begin(struct http_server *server, struct MHD_Connection *connection,
                                   const char *path, const char *method, void **ret_state);

/* Handles a part of the body of an action, the end of the body (@n is 0), and its outcome. */
enum MHD_Result http_request_continue(struct http_server *server, struct action_client *client,
                                      const char *body, size_t *n);

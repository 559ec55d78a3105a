/* SPDX-License-Identifier: BSD-2-Clause */
/* Responses of libmicrohttpd, with the headers that each of ours has. */
#pragma once

#include <json-c/json.h>
#include <microhttpd.h>

#include "web/look.h"
#include "web/page.h"

/* Takes @text, for free(), of @n bytes. NULL if memory is short. */
struct MHD_Response *http_response_new(char *text, size_t n, const char *type);

/* The object in one line. */
struct MHD_Response *http_response_new_json(struct json_object *object);

/* {"error": TEXT} */
struct MHD_Response *http_response_new_error(const char *text);

/* Takes the text or the JSON of the look. @type: of a text. */
struct MHD_Response *http_response_new_look(struct look *look, const char *type);

/* A file of the page; without its content if @known is its ETag (status 304). */
struct MHD_Response *http_response_new_file(const struct page_file *file, const char *type,
                                            bool known);

/* Sends and releases it. Returns MHD_NO if it is NULL: the connection then ends. */
enum MHD_Result http_response_send(struct MHD_Connection *connection, unsigned int status,
                                   struct MHD_Response *response);

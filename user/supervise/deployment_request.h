/* SPDX-License-Identifier: BSD-2-Clause */
/* The requests about deployments (core/request.h): each a control_handler. */
#pragma once

#include "base/error.h"
#include "supervise/types.h"

struct control_client;
struct request;

int deployment_request_deploy(struct supervisor *sup, struct control_client *client,
                              const struct request *request, struct error *err);
int deployment_request_promote(struct supervisor *sup, struct control_client *client,
                               const struct request *request, struct error *err);
int deployment_request_pause(struct supervisor *sup, struct control_client *client,
                             const struct request *request, struct error *err);
int deployment_request_abort(struct supervisor *sup, struct control_client *client,
                             const struct request *request, struct error *err);
int deployment_request_roll_back(struct supervisor *sup, struct control_client *client,
                                 const struct request *request, struct error *err);

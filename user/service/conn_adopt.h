/* SPDX-License-Identifier: BSD-2-Clause */
/* The connections that were open before a service was attached. */
#pragma once

#include "base/error.h"
#include "service/service.h"

/*
 * Counts the connections, each for the worker that has it open. If that can't be known (one process
 * has several of the listeners, or no process has accepted the connection yet), counts it in
 * RPD_ACCOUNT_UNKNOWN. Does nothing if the service does not count connections. Returns 0, or a
 * negative errno with @err set.
 */
int conn_adopt(struct service *service, struct error *err);

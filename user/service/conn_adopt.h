/* SPDX-License-Identifier: BSD-2-Clause */
/* The connections that were open before a service was attached. */
#pragma once

#include "base/error.h"
#include "service/service.h"

/*
 * Counts them, for the worker whose process has them open. Where that can't be known (one process
 * has several of the listeners; or nobody has accepted the connection yet) for no worker, but
 * RPD_ACCOUNT_UNKNOWN. No error if nothing is counted at all.
 */
int conn_adopt(struct service *service, struct error *err);

/* SPDX-License-Identifier: BSD-2-Clause */
/* Receives sd_notify(3) messages of workers: one socket for each service. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"

struct notify;

/* Process @pid, a worker or a child of one, has sent READY=1. */
typedef void (*notify_ready)(uint32_t pid, void *data);

/* Creates the socket @path, in place of one that a killed supervisor has left. Any user may write
 * to it. */
int notify_new(sd_event *loop, const char *path, notify_ready ready, void *data,
               struct notify **ret, struct error *err);
void notify_free(struct notify *notify);

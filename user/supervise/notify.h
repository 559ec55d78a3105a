/* SPDX-License-Identifier: BSD-2-Clause */
/* Receives sd_notify(3) messages of workers: one socket for each service. */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/error.h"

struct notify;

/* Process @pid has sent READY=1, and its user may send. The process is not necessarily a worker or
 * a child of one. */
typedef void (*notify_ready)(uint32_t pid, void *data);

/* Creates the socket @path, in place of one that a killed supervisor has left. Only root and the
 * workers' user @uid may write to it, or any user if that is root. */
int notify_new(sd_event *loop, const char *path, uid_t uid, notify_ready ready, void *data,
               struct notify **ret, struct error *err);

/* There will be workers of user @uid, too. Returns 0, or a negative errno with @err set. */
int notify_allow(struct notify *notify, uid_t uid, struct error *err);

/* Handles what has been sent until now, when a worker has ended. */
void notify_read_rest(struct notify *notify);

void notify_free(struct notify *notify);

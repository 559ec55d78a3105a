/* SPDX-License-Identifier: BSD-2-Clause */
/* What workers tell us by sd_notify(3): one socket for all of a service. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"

struct notify;

/* A worker, or a child of it, said READY=1. @pid: who. */
typedef void (*notify_ready)(uint32_t pid, void *data);

/* @path: of the socket, in place of one that is there; any user may write to it. */
int notify_new(sd_event *loop, const char *path, notify_ready ready, void *data,
               struct notify **ret, struct error *err);
void notify_free(struct notify *notify);

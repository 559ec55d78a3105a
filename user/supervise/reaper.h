/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reaps children that this process did not start. As process 1, of a container for example, it
 * becomes the parent of every process that loses its own. Until they are reaped, these
 * children are zombies and occupy their pids.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct reaper;

/* Begins to reap; blocks SIGCHLD. @is_ours: whether another event source waits for this process,
 * and reaps it. Returns 0 or a negative errno. */
int reaper_new(sd_event *loop, bool (*is_ours)(uint32_t pid, void *data), void *data,
               struct reaper **ret);
void reaper_free(struct reaper *reaper);

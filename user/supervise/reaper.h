/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children that we did not start: as process 1, of a container say, we become the parent of
 * whatever process loses its own. Nobody but us can take note of their end; until that they are
 * zombies, and their numbers are taken.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct reaper;

/* @is_ours: whether somebody waits for this process, and will soon when it has ended. Blocks
 * SIGCHLD. Returns 0 or a negative errno. */
int reaper_new(sd_event *loop, bool (*is_ours)(uint32_t pid, void *data), void *data,
               struct reaper **ret);
void reaper_free(struct reaper *orphans);

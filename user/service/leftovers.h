/* SPDX-License-Identifier: BSD-2-Clause */
/* What a supervisor that has died has left of its service. @service: its name. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kern/steer.h"

/* Whether a listener of the service is open, or a process of one of its workers lives. *ret_pid:
 * such a process, or 0 if none can be named. */
bool leftovers_live(const struct steer *steer, const char *service, uint32_t *ret_pid);

/* A process of one of its workers, or 0. */
uint32_t leftovers_find_process(const char *service);

/* Removes its cgroups and its folder in /run, and ends what is in them: the log process. For a
 * service without other processes, when another kind of service takes its name. */
void leftovers_remove(const char *service);

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the steering program is in force. Any member of a group may put another program in its
 * place, or detach it (bpf/guard.bpf.c). The service's maps don't show that: the schedule in them
 * would then have no effect.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/in_force.h"
#include "service/service.h"

/* As in_force_read(). If the network namespace can't be entered, all is unknown. */
void service_in_force_read(const struct service *service, struct in_force *ret);

/* Writes what puts our program back, as the end of a sentence. @found: NULL = what is lost is in
 * the group. Returns @buf. */
const char *service_in_force_remedy(const struct service *service, const struct in_force *found,
                                    char *buf, size_t size);

/* Refuses a change of the schedule that would have no effect. Returns 0 also if it is unknown what
 * is in force, or -EBUSY with @err set. */
int service_in_force_require(const struct service *service, struct error *err);

/* The same, except that a listener may avoid the program. */
int service_in_force_require_program(const struct service *service, struct error *err);

/* Whether our program is in force in the group of a listener that groups_read() has read. Returns
 * 0, or -EBUSY with @err set. */
int service_in_force_check_member(const struct service *service, const struct rpd_group_member *row,
                                  struct error *err);

/* Whether our program is in force in the groups of all these listeners. Closed listeners don't
 * count; 0 is none. Returns 0, or a negative errno with @err set; that it is unknown is an error,
 * too. */
int service_in_force_check_listeners(const struct service *service, const uint64_t *cookies,
                                     size_t n, struct error *err);

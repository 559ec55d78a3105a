/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The iterator over the admitted listeners (group.bpf.c): the program of their reuseport groups,
 * their handshakes under way, and (since Linux 6.14) whether the worker of the slot serves them.
 * Needs BTF and CAP_PERFMON. Without them the service works, but what the iterator would show is
 * unknown.
 *
 * The kernel walks over an array here, and knows of no socket. Its iterator over the storage of
 * sockets may crash Linux 7.0 and later, also in 7.2.13: never use "iter/bpf_sk_storage_map".
 *
 * Pins, in addition to those of steer: the iterator "groups", and the program "mark", which finds
 * the sockets that the iterator reads (steer_members_mark()).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/listener.h"
#include "kern/pins.h"
#include "kern/steer.h"

/* What groups_read() needs, for messages. */
#define GROUPS_NEEDS "that needs BTF (CONFIG_DEBUG_INFO_BTF), CAP_PERFMON and the pin \"groups\""

struct groups {
	int fd; /* -1 = unknown */
};

/* Sets the closed state. */
void groups_init(struct groups *groups);

/* Loads and pins both for a service that is being made. A failure is no error. */
void groups_attach(struct groups *groups, struct steer *steer, const struct pins *pins);

/* Opens the pins. If that of the iterator is missing, the groups are unknown. */
void groups_open(struct groups *groups, struct steer *steer, const struct pins *pins);

/* Pins again what is open and not pinned any more. A failure is no error. */
void groups_pin_missing(const struct groups *groups, const struct steer *steer,
                        const struct pins *pins);

void groups_close(struct groups *groups);

/* Whether a pin of this name is one of these. */
bool groups_is_pin(const char *name);

/* Whether groups_read() works. */
bool groups_are_known(const struct groups *groups);

/* Reads a row for each of these listeners, of any service or none, in the same namespace. Loads the
 * iterator for that. The caller frees *ret. Returns 0 or a negative errno. */
int groups_read_listeners(const struct listener *listeners, size_t n, struct rpd_group_member **ret,
                          size_t *ret_n);

/* Reads a row for each admitted listener that is open, by cookie. The caller frees *ret. Returns 0,
 * or a negative errno with @err set. */
int groups_read(const struct groups *groups, struct rpd_group_member **ret, size_t *ret_n,
                struct error *err);

/* The row of the listener @cookie that groups_read() has read, or NULL. */
const struct rpd_group_member *groups_find(const struct rpd_group_member *rows, size_t n,
                                           uint64_t cookie);

/* SPDX-License-Identifier: BSD-2-Clause */
/* What a worker listens on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/listener.h"
#include "supervise/types.h"

/* Lists the worker's listeners that are meant to take connections, by cookie: those that `listen`
 * names or, if it names none, those on a fixed port. The caller frees *ret. Returns 0, or a
 * negative errno with @err set. */
int worker_listeners_find(const struct worker *w, struct listener **ret, size_t *ret_n,
                          struct error *err);

#define WORKER_LISTENERS_PORTS (2 * RPD_ENDPOINT_MAX)

/* Lists the ports that the service serves, and those that `listen` names for the worker, each once.
 * Returns how many there are. */
size_t worker_listeners_list_ports(const struct worker *w, uint16_t ret[WORKER_LISTENERS_PORTS]);

/* Whether the listener was admitted with the worker. */
bool worker_listeners_is_admitted(const struct worker *w, uint64_t cookie);

/* Whether the listener of a worker that is up was admitted, and is still in its slot: the kernel
 * takes it out when it is shut down, and it may listen again. */
bool worker_listeners_is_steered(const struct worker *w, uint64_t cookie);

/* Whether any listener was admitted with the worker. */
bool worker_listeners_has_any(const struct worker *w);

/* Whether the bind hook holds the listener (held_address.h). @ret, if not NULL: where the worker
 * wants to listen; unchanged if that is not known. */
bool worker_listeners_is_held(const struct worker *w, const struct listener *listener,
                              struct rpd_endpoint *ret);

/* Writes what the worker listens on, as "127.0.0.1:80, [::]:81", as far as there is room. Returns
 * @buf, which is "nothing" if it listens on nothing. */
const char *worker_listeners_format(const struct worker *w, char *buf, size_t size);

/* Remembers the addresses of these listeners as those of the worker, at most RPD_ENDPOINT_MAX of
 * them. */
void worker_listeners_note(struct worker *w, const struct listener *listeners, size_t n);

/* worker_listeners_find(), and notes what it has found, and since when it has several listeners on
 * an endpoint. */
int worker_listeners_look(struct worker *w, struct listener **ret, size_t *ret_n,
                          struct error *err);

/* Whether the worker has several of these listeners on an endpoint: connections are dealt to
 * workers, so only one of the listeners gets any. If so, writes that to @buf, and what to do. */
bool worker_listeners_describe_duplicates(const struct worker *w, const struct listener *listeners,
                                          size_t n, char *buf, size_t size);

/* Whether the worker listened on this address when it was last looked at. */
bool worker_listeners_has_address(const struct worker *w, const struct rpd_endpoint *address);

/* Duplicates a listener of the worker on this address. Returns the descriptor, or a negative errno
 * with @err set: -ENOENT if it has none. */
int worker_listeners_borrow(const struct worker *w, const struct rpd_endpoint *address,
                            struct error *err);

/* Has the worker looked at, as after a report of the hook (worker_reports.h). */
void worker_listeners_ask_look(struct worker *w);

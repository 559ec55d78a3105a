/* SPDX-License-Identifier: BSD-2-Clause */
/* The listeners of this network namespace among which discover() searches for workers, and their
 * processes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/listener.h"

/* What the user named. */
struct discover_wanted {
	unsigned int workers; /* 0 = any number */
	uint16_t port;        /* 0 = any */
	/* Only family and addr of these hold. */
	struct rpd_endpoint addresses[RPD_ENDPOINT_MAX];
	size_t n_addresses; /* 0 = any address */
	uint32_t pid;       /* 0 = any; else only ports on which this process has a listener */
};

struct discover_scene {
	struct listener *listeners; /* at the wanted port and address, in the order of endpoints */
	size_t n_listeners;
	struct holder *holders;
	size_t n_holders;
	unsigned int n_asked; /* listeners that discover_scene_has_reuseport() was called for */
};

#define _cleanup_discover_scene_ __attribute__((cleanup(discover_scene_free)))

/* Whether @wanted names the address of the endpoint, or none. The port is not compared. */
bool discover_scene_is_wanted(const struct discover_wanted *wanted,
                              const struct rpd_endpoint *endpoint);

/* Reads the listeners and all processes. Returns 0, or a negative errno with @err set. */
int discover_scene_read(const struct discover_wanted *wanted, struct discover_scene *ret,
                        struct error *err);

/* The number of listeners on one port. @first: the index of the first of them. */
size_t discover_scene_port_length(const struct discover_scene *scene, size_t first);

/* Whether process @pid has one of these listeners open. */
bool discover_scene_holds(const struct discover_scene *scene, uint32_t pid,
                          const struct listener *listeners, size_t n);

/* The name of a process that has the listener open. */
const char *discover_scene_comm(const struct discover_scene *scene,
                                const struct listener *listener);

/* Whether the listener has SO_REUSEPORT: 1 or 0, or a negative errno with @err set. Fails when it
 * was called for too many. */
int discover_scene_has_reuseport(struct discover_scene *scene, const struct listener *listener,
                                 struct error *err);

/* Whether that was the case. */
bool discover_scene_is_full(const struct discover_scene *scene);

/* Sets @err: that was the case. Returns a negative errno. */
int discover_scene_full_error(struct error *err);

void discover_scene_free(struct discover_scene *scene);

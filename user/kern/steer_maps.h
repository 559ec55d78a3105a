/* SPDX-License-Identifier: BSD-2-Clause */
/* The pinned maps of a service: what each must look like, and their memory. For the steer*.c files,
 * and those that load a program that shares the maps. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bpf/bpf.h>

#include "base/error.h"
#include "kern/steer.h"

/* What a pinned map must look like. bpf/steer.bpf.c and bpf/shared_maps.h define the maps. */
struct steer_map_kind {
	const char *name;
	enum bpf_map_type type;
	uint32_t value_size;  /* 0 = any */
	uint32_t max_entries; /* 0 = any */
};

const struct steer_map_kind *steer_maps_kind(enum steer_map map);

struct bpf_object;

/* Makes the programs of @object use the service's existing maps, by their names; loading makes the
 * others. Returns 0 or a negative errno. */
int steer_maps_share(const struct steer *steer, struct bpf_object *object);

/* Maps the memory of map @fd, unless *memory is set already. */
int steer_maps_mmap(int fd, size_t size, void **memory, struct error *err);

/* Maps the memory of all maps that struct steer has a pointer for; steer_close() unmaps it. */
int steer_maps_mmap_all(struct steer *steer, struct error *err);

/* The pins of an endpoint. */
enum steer_pin {
	STEER_SOCKS,
	STEER_QUEUES,
	STEER_PROGRAM,
	STEER_PIN_MAX,
};

#define STEER_MAPS_PIN_MAX 16 /* bytes of a pin's name */

/* The name of the pin: "socks0", for example. Returns @buf. */
const char *steer_maps_pin_name(enum steer_pin pin, unsigned int index,
                                char buf[STEER_MAPS_PIN_MAX]);

/* Whether an endpoint has a pin of this name. */
bool steer_maps_is_endpoint_pin(const char *name);

/* The descriptor of what is pinned. */
int steer_maps_pin_fd(const struct steer_endpoint *endpoint, enum steer_pin pin);

#define STEER_MAPS_NO_ENDPOINT ((struct steer_endpoint){-1, -1, -1})

void steer_maps_close_endpoint(struct steer_endpoint *endpoint);

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding the workers that `attach` is to take: which port, which groups, who serves them, and
 * whether they are as many as was asked for. Changes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/roster.h"

/* What the user named. */
struct wanted {
	unsigned int workers; /* 0 = any number */
	uint16_t port;        /* 0 = any */
	int family;           /* 0 = any address */
	uint8_t addr[16];
	uint32_t pid; /* 0 = any; else only ports on which this process has a listener */
};

/* The workers of one port. */
struct found {
	struct listener *listeners;
	size_t n_listeners;
	int32_t *fds;         /* for each listener, its number in its worker's process */
	struct roster roster; /* its listener indices are into listeners */
	char *notes;          /* what was left out and why, a line each, or NULL */
};

#define _cleanup_found_ __attribute__((cleanup(found_free)))

/*
 * Looks once. -EAGAIN, with the error set, if what was wanted isn't there but may still come
 * (too few workers, nobody listens); any other error is final.
 */
int discover(const struct wanted *wanted, struct found *ret, struct error *err);

/* Something that differs, as good as always, when other listeners listen where discover() would
 * look: it asks the kernel for the listeners only, while discover() reads all processes. */
int discover_fingerprint(const struct wanted *wanted, uint64_t *ret, struct error *err);

void found_free(struct found *found);

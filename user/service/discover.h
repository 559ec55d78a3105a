/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the workers for `attach`: their port, their groups, the process that serves each listener,
 * and whether they are as many as the user asked for. Changes nothing.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "core/roster.h"
#include "service/discover_scene.h"

/* The workers of one port. */
struct discover_found {
	struct listener *listeners;
	size_t n_listeners;
	struct holder *holders; /* of these and other listeners, in the order of (inode, pid) */
	size_t n_holders;
	struct roster roster; /* its indices of listeners are into listeners */
	char *notes;          /* what the user should know, a line each, or NULL */
};

enum discover_outcome {
	DISCOVER_FOUND,
	DISCOVER_NOT_YET, /* the workers are not there, but may still come */
};

#define _cleanup_discover_found_ __attribute__((cleanup(discover_found_free)))

/* Searches for the workers once. Returns an enum discover_outcome, or a negative errno if waiting
 * does not help. Sets @err unless the workers were found. The caller frees @ret with
 * discover_found_free(). */
int discover(const struct discover_wanted *wanted, struct discover_found *ret, struct error *err);

/* Computes a number that changes (nearly always) when the listeners at the wanted port and address
 * change. Only asks the kernel for the listeners, while discover() reads all processes. Returns 0,
 * or a negative errno with @err set. */
int discover_fingerprint(const struct discover_wanted *wanted, uint64_t *ret, struct error *err);

void discover_found_free(struct discover_found *found);

/* Appends a line to found->notes. Returns 0, or a negative errno with @err set. */
int discover_add_note(struct discover_found *found, const char *text, struct error *err);

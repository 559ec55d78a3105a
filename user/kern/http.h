/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs that count each worker's HTTP responses (http.bpf.c), and their counts.
 *
 * Pins, in addition to those of steer and conns, while responses are counted: the maps "responses"
 * and "requests"; the links "http-in" and "http-out", which keep the programs attached to a cgroup.
 * Responses are counted only if all four exist.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/response_count.h"
#include "kern/pins.h"
#include "kern/steer.h"

struct http {
	int map_fds[2], link_fds[2];
	uint32_t last_place;   /* where the search for a free place of a row goes on */
	uint32_t free_at_most; /* of the places, while the service is locked */
	bool counting;         /* if not, the descriptors are -1 */
	bool half_made;        /* a killed command has left some of the pins */
};

/* Sets the closed state. */
void http_init(struct http *http);

/* Opens the pins, as far as they exist. */
void http_open(struct http *http, const struct pins *pins);

/* Loads the programs, and attaches them to cgroup @cgroup. They end with this process until
 * http_pin_missing() pins them. Returns 0, or a negative errno with @err set. */
int http_attach(struct http *http, const struct steer *steer, int cgroup, struct error *err);

/* Attaches the programs to cgroup @cgroup in place of the one that they are attached to. A packet
 * that both see counts once. Returns 0, or a negative errno with @err set. */
int http_move(struct http *http, const struct pins *pins, int cgroup, struct error *err);

/* The id of the cgroup that the programs are attached to; 0 if that was removed. */
uint64_t http_cgroup(const struct http *http);

/* Detaches the programs and removes their pins, also half-made ones. */
void http_detach(struct http *http, const struct pins *pins);

/* Pins what is open and not pinned yet, or not any more. Returns 0 or a negative errno. */
int http_pin_missing(const struct http *http, const struct pins *pins);

/* Whether a pin of this name is one of ours. */
bool http_is_pin(const char *name);

/* Reads row @key, or reads and removes it. Each returns 0 or a negative errno: -ENOENT if there is
 * no such row. */
int http_get_row(const struct http *http, uint32_t key, struct response_row *ret);
int http_take_row(struct http *http, uint32_t key, struct response_row *ret);

/* Sets the counts and the label of row @key, or makes it an empty one. Each returns 0 or a negative
 * errno: -ENOSPC if there is no place for another row. */
int http_set_row(struct http *http, uint32_t key, const struct response_row *row);
int http_make_row(struct http *http, uint32_t key, const char *label);

/* The service is locked again: others may have removed rows since. */
void http_forget_full(struct http *http);

/* Steps through the rows, in no order: reads the one after *@place, which is 0 before the first
 * one. -ENOENT at the end. */
int http_next_row(const struct http *http, uint32_t *place, struct response_row *ret);

void http_close(struct http *http);

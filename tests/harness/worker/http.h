/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests as text, and the answers to them. Touches no socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_MAX 512

struct request {
	uint64_t body_left;
	bool open; /* its head was read, its answer is not sent */
	bool close;
	bool wants_pid;
};

/*
 * Opens a request if its whole head is at the start of @text, which it changes and of which it
 * returns the length; else returns 0. After the @len bytes there must be a NUL.
 */
size_t http_read_request(struct request *request, char *text, size_t len);

/* Writes what the worker called @id has to say. Returns its length. */
size_t http_write_answer(char text[ANSWER_MAX], const struct request *request, const char *id);

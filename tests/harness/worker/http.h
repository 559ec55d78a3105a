/* SPDX-License-Identifier: BSD-2-Clause */
/* Parses requests and writes answers, as text. Uses no socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_MAX 512

struct request {
	uint64_t body_left;
	bool open; /* its head has been read and its answer not sent */
	bool close;
	bool wants_pid;
	bool fails; /* is answered with status 500 */
};

/*
 * Opens a request if @text begins with a complete head. Changes the text, and returns the length of
 * the head; 0 if the head is incomplete. A NUL must follow the @len bytes.
 */
size_t http_read_request(struct request *request, char *text, size_t len);

/* Writes the answer of worker @id. Returns its length. */
size_t http_write_answer(char text[ANSWER_MAX], const struct request *request, const char *id);

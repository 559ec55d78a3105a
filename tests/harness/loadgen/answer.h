/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parses an HTTP/1.x answer as it arrives: whether it is complete, and which worker sent it. Uses
 * no socket. Doesn't support TLS, HTTP/2, pipelining or trailers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_MAX 4096 /* bytes of an answer that are kept; its head must fit */

enum answer_state {
	ANSWER_PART,
	ANSWER_WHOLE,
	ANSWER_BAD, /* not HTTP, a head that is too long, or a status other than 200 */
};

struct answer {
	char text[ANSWER_MAX + 1];
	size_t len;        /* bytes kept in text */
	uint64_t received; /* bytes received */
	size_t head_len;   /* with the empty line; 0 until the head is complete */
	int64_t body_len;  /* Content-Length; -1: none */
	char tail[7];      /* the last bytes received */
	bool chunked;      /* Transfer-Encoding: chunked */
	bool last_on_line; /* the server closes the connection after this answer */
};

void answer_reset(struct answer *answer);

enum answer_state answer_add(struct answer *answer, const char *data, size_t len);

/* Whether the answer has neither Content-Length nor chunks, so that it ends with the connection. */
bool answer_ends_at_eof(const struct answer *answer);

/* The id of the worker that answered: the header X-Worker, or the first bytes of the body. */
const char *answer_worker(const struct answer *answer, size_t *ret_len);

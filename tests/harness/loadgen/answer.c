/* SPDX-License-Identifier: BSD-2-Clause */
#include "answer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "wire/header.h"
#include "worker.h"

void answer_reset(struct answer *answer)
{
	answer->len = 0;
	answer->received = 0;
	answer->head_len = 0;
	memset(answer->tail, 0, sizeof(answer->tail));
}

/* Parses the head once it is complete; the text up to the body then ends with a NUL. */
static enum answer_state answer_read_head(struct answer *answer)
{
	char *end = memmem(answer->text, answer->len, "\r\n\r\n", 4);
	const char *value;
	size_t len;

	if (!end)
		return answer->len == ANSWER_MAX ? ANSWER_BAD : ANSWER_PART;
	end[2] = '\0';
	answer->head_len = (size_t)(end - answer->text) + 4;
	if (strncmp(answer->text, "HTTP/1.", 7) != 0 || strncmp(answer->text + 8, " 200", 4) != 0)
		return ANSWER_BAD;

	value = header_value(answer->text, "\r\nContent-Length:", &len);
	answer->body_len = value ? strtoll(value, NULL, 10) : -1;
	answer->chunked = header_begins(answer->text, "\r\nTransfer-Encoding:", "chunked");
	answer->last_on_line = header_begins(answer->text, "\r\nConnection:", "close");
	if (answer->text[7] == '0')
		answer->last_on_line =
		        !header_begins(answer->text, "\r\nConnection:", "keep-alive");
	return ANSWER_PART;
}

/*
 * A chunked body is taken as complete if the bytes received so far end with the last chunk. This is
 * wrong only if a chunk contains these bytes at the end of a segment.
 */
static bool answer_ends_with_last_chunk(const struct answer *answer)
{
	return memcmp(answer->tail, "\r\n0\r\n\r\n", 7) == 0;
}

static enum answer_state answer_check(const struct answer *answer)
{
	uint64_t body = answer->received - answer->head_len;

	if (answer->chunked)
		return answer_ends_with_last_chunk(answer) ? ANSWER_WHOLE : ANSWER_PART;
	if (answer->body_len >= 0 && body >= (uint64_t)answer->body_len)
		return ANSWER_WHOLE;
	return ANSWER_PART;
}

enum answer_state answer_add(struct answer *answer, const char *data, size_t len)
{
	size_t space = ANSWER_MAX - answer->len, keep = len < space ? len : space;
	size_t tail = len < sizeof(answer->tail) ? len : sizeof(answer->tail);

	memcpy(answer->text + answer->len, data, keep);
	answer->len += keep;
	answer->text[answer->len] = '\0';
	answer->received += len;
	memmove(answer->tail, answer->tail + tail, sizeof(answer->tail) - tail);
	memcpy(answer->tail + sizeof(answer->tail) - tail, data + len - tail, tail);
	if (answer->head_len == 0 && answer_read_head(answer) == ANSWER_BAD)
		return ANSWER_BAD;
	return answer->head_len ? answer_check(answer) : ANSWER_PART;
}

bool answer_ends_at_eof(const struct answer *answer)
{
	return answer->head_len && answer->body_len < 0 && !answer->chunked;
}

const char *answer_worker(const struct answer *answer, size_t *ret_len)
{
	const char *id = header_value(answer->text, "\r\nX-Worker:", ret_len);

	if (id)
		return id;
	id = answer->text + answer->head_len;
	if (answer->chunked) {
		id += strcspn(id, "\n");
		id += *id != '\0';
	}
	id += strspn(id, " \t\r\n");
	*ret_len = strnlen(id, WORKER_ID_MAX);
	if (answer->chunked)
		*ret_len = strcspn(id, "\r\n");
	while (*ret_len > 0 && isspace((unsigned char)id[*ret_len - 1]))
		(*ret_len)--;
	return id;
}

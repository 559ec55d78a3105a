/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which segments of a connection begin an HTTP/1 response, as plain inline code without a helper
 * call: compiled by clang for the kernel and by the unit tests for the host.
 *
 * The programs read only the first bytes of each segment, and no headers. So they do not know where
 * a message ends. What follows from that:
 *
 * - A response counts by its class if the first segment after a request begins with a status line,
 *   and the request began where a segment begins. A client that does not pipeline sends a request
 *   when it has received the whole response to the last one, so all its responses count so:
 *   keep-alive, HEAD, chunked bodies, bodies of requests, and early responses make no difference.
 * - If a later segment of a response begins with the text of a status line, no response is due. The
 *   segment counts as a response of unknown status.
 * - An interim response (1xx) counts, and the final one is still due. After a response 101 the
 *   connection has another protocol, and is opaque.
 * - The first bytes that a server sends on a connection begin a response, also if no request was
 *   seen: data that comes with the last packet of the handshake goes unseen. If these bytes are no
 *   status line (TLS, HTTP/2 and other protocols), the connection counts as one response of unknown
 *   status, and is opaque.
 * - A client pipelines if it begins a request before the last one is answered, or before it has
 *   acknowledged all that the server has sent. From then on each segment with a status line counts
 *   as a response of unknown status. Requests that share one segment look like one request. The
 *   first response then counts by its class, others in segments of their own count as unknown, and
 *   others in the same segment go unseen.
 * - Two kinds of responses count as unknown: those with a status line that is split over segments,
 *   and those to a request, not the first one, that does not begin with a method and a path in one
 *   segment.
 * - Two things can't be known. A final response goes unseen if it shares its segment with the
 *   interim one. And a body counts as a response by its class if the client pipelines after it has
 *   acknowledged all that was sent so far, and the next segment of the body begins with a status
 *   line. A worker that sends this on purpose could as well send any status.
 *
 * A request is due until its response begins. On a connection on which the server has sent nothing,
 * whatever the client has sent is due: also a TLS handshake that is not answered.
 *
 * Sequence numbers show which bytes are sent again. They do not count twice, also if the programs
 * are attached twice.
 */
#pragma once

#include <reuseportd/response_abi.h>

/* How many bytes of a segment the programs read. */
#define HTTP_HEAD_MAX   16 /* a power of two */
#define HTTP_STATUS_MIN 12 /* "HTTP/1.1 200" */

#define HTTP_FRESH   0x01 /* the server has sent nothing yet */
#define HTTP_CAME    0x02 /* answered and received are valid */
#define HTTP_SENT    0x04 /* sent is valid */
#define HTTP_DUE     0x08 /* a request has begun, and its response has not */
#define HTTP_UNSURE  0x10 /* the client pipelines */
#define HTTP_OPAQUE  0x20 /* is not HTTP/1, or not any more */
#define HTTP_OPEN    0x40 /* what is due is counted in the row of `account` */
#define HTTP_SETTLED 0x80 /* the account does not change any more */

/* What is known of a connection. Numbers of bytes are TCP sequence numbers. */
struct http_exchange {
	__u64 asked_at; /* when the last packet of a request came */
	__u32 answered; /* what came before this number belongs to answered requests */
	__u32 received; /* the end of what came */
	__u32 begun;    /* with HTTP_DUE: where the request begins */
	__u32 sent;     /* the end of what was sent */
	__u32 flags;
	__u32 account;  /* with HTTP_OPEN or HTTP_SETTLED */
	__u32 due_tick; /* with HTTP_OPEN: in which tick what is due is counted */
};

/* A TCP segment with data. */
struct http_segment {
	__u32 seq, end; /* sequence numbers: of the first byte, and after the last one */
	__u32 ack;
	__u32 n_head;
	__u8 head[HTTP_HEAD_MAX]; /* its first @n_head bytes */
};

/* Results of http_exchange_send(), besides the classes of response_abi.h. */
#define HTTP_NO_RESPONSE (-1)

/* Whether sequence number @a comes before @b. */
static inline int http_exchange_is_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

/* Whether the server has to answer something that has come. */
static inline int http_exchange_is_due(const struct http_exchange *it)
{
	if (it->flags & HTTP_OPAQUE || !it->asked_at)
		return 0;
	return it->flags & HTTP_DUE || (it->flags & HTTP_FRESH && it->flags & HTTP_CAME);
}

/* Whether a request begins here: a method, a space, and the first character of a path or URL. */
static inline int http_exchange_is_request(const struct http_segment *segment)
{
	for (__u32 i = 0; i + 1 < HTTP_HEAD_MAX && i + 1 < segment->n_head; i++) {
		const __u8 c = segment->head[i], next = segment->head[i + 1];

		if (c == ' ')
			return i >= 3 && (next == '/' || next == '*' || next == 'h');
		if ((c < 'A' || c > 'Z') && c != '-')
			return 0;
	}
	return 0;
}

/* The status code; 0 if there is no status line, -1 if only the beginning of one is there. */
static inline int http_exchange_status(const struct http_segment *segment)
{
	static const char wanted[] = "HTTP/1.";
	const __u8 *head = segment->head;
	int status = 0;

	for (__u32 i = 0; i < sizeof(wanted) - 1; i++) {
		if (i >= segment->n_head)
			return -1;
		if (head[i] != (__u8)wanted[i])
			return 0;
	}
	if (segment->n_head < HTTP_STATUS_MIN)
		return -1;
	if ((head[7] != '0' && head[7] != '1') || head[8] != ' ')
		return 0;
	for (int i = 9; i < HTTP_STATUS_MIN; i++) {
		if (head[i] < '0' || head[i] > '9')
			return 0;
		status = status * 10 + head[i] - '0';
	}
	if (segment->n_head > HTTP_STATUS_MIN && head[12] != ' ' && head[12] != '\r')
		return 0;
	return status;
}

/* Notes a segment that has come from the client. */
static inline void http_exchange_receive(struct http_exchange *it,
                                         const struct http_segment *segment, __u64 now)
{
	if (it->flags & HTTP_OPAQUE)
		return;
	if (!(it->flags & HTTP_CAME)) {
		it->answered = it->received = segment->seq;
		it->flags |= HTTP_CAME;
	}
	if (http_exchange_is_before(segment->seq, it->answered))
		return; /* sent again */
	it->asked_at = now;
	if (http_exchange_is_before(it->received, segment->end))
		it->received = segment->end;
	if (!http_exchange_is_request(segment))
		return;
	if (!(it->flags & HTTP_DUE)) {
		it->flags |= HTTP_DUE;
		it->begun = segment->seq;
		if (it->flags & HTTP_SENT && http_exchange_is_before(segment->ack, it->sent))
			it->flags |= HTTP_UNSURE;
	} else if (segment->seq != it->begun) {
		it->flags |= HTTP_UNSURE;
	}
}

/* The request, or what may have been one, is answered. */
static inline void http_exchange_answer(struct http_exchange *it)
{
	it->flags &= ~HTTP_DUE;
	it->answered = it->received;
}

/* What a segment means that begins with a status line, or a part of one. */
static inline int http_exchange_take_status(struct http_exchange *it, int status, int is_due,
                                            __u64 now, __u64 *ret_ns)
{
	if (!is_due || it->flags & HTTP_UNSURE || status < 100 || status > 599) {
		http_exchange_answer(it);
		return RESPONSE_UNKNOWN;
	}
	if (status < 200 && status != 101) {
		if (!(it->flags & HTTP_DUE))
			it->begun = it->received;
		it->flags |= HTTP_DUE;
		return 1;
	}
	http_exchange_answer(it);
	if (status == 101)
		it->flags |= HTTP_OPAQUE;
	if (it->asked_at)
		*ret_ns = now - it->asked_at;
	return status / 100;
}

/* Notes a segment that the server sends. Returns the class of the response that begins with it, or
 * HTTP_NO_RESPONSE. @ret_ns: the time since the request came; unchanged if it is not known. */
static inline int http_exchange_send(struct http_exchange *it, const struct http_segment *segment,
                                     __u64 now, __u64 *ret_ns)
{
	const __u32 before = it->flags;
	int status;

	if (before & HTTP_OPAQUE)
		return HTTP_NO_RESPONSE;
	if (before & HTTP_SENT && !http_exchange_is_before(it->sent, segment->end))
		return HTTP_NO_RESPONSE; /* sent again */
	it->sent = segment->end;
	it->flags = (before | HTTP_SENT) & ~HTTP_FRESH;
	status = http_exchange_status(segment);
	if (status)
		return http_exchange_take_status(it, status, before & (HTTP_DUE | HTTP_FRESH), now,
		                                 ret_ns);
	if (before & HTTP_FRESH) {
		it->flags |= HTTP_OPAQUE;
		if (it->asked_at)
			*ret_ns = now - it->asked_at;
		return RESPONSE_UNKNOWN;
	}
	if (before & HTTP_DUE) /* more of the last response: the client pipelines */
		it->flags |= HTTP_UNSURE;
	return HTTP_NO_RESPONSE;
}

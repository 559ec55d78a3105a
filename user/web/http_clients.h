/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connections of the HTTP server, which any client may open: how many there are, and how long
 * each may last. A connection is for one request. If there are too many, the oldest one ends;
 * connections without a request end first. A client that means well sends its request at once, and
 * soon has its answer: so it is never the oldest for long, and others can't keep it out.
 *
 * A connection is ended by shutdown(): the HTTP server notices that, and closes it.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define HTTP_CLIENTS_MAX         256
#define HTTP_CLIENTS_PER_ADDRESS 64 /* an IPv6 client has a /64 network of addresses */

#define HTTP_CLIENTS_REQUEST_NS (5 * NS_PER_S)  /* from the connection to the whole request */
#define HTTP_CLIENTS_ANSWER_NS  (10 * NS_PER_S) /* from there to the end of the answer */

struct http_client {
	struct http_client *next;
	int fd;
	uint8_t address[8]; /* IPv4, the network of IPv6, or the uid */
	bool is_root;       /* by the credentials of a Unix socket */
	int64_t deadline;   /* CLOCK_MONOTONIC, ns */
	bool has_asked;     /* its request is complete */
	bool is_ended;
};

/* Empty: {}. */
struct http_clients {
	struct http_client *oldest;
};

/* Adds a connection, and ends another one if there are too many. Returns NULL if memory is short:
 * then the new connection is ended. */
struct http_client *http_clients_add(struct http_clients *clients, int fd,
                                     const struct sockaddr *address, int64_t now);

/* The client's request is complete. */
void http_clients_note_request(struct http_client *client, int64_t now);

/* The connection was closed. Frees @client; NULL is allowed. */
void http_clients_remove(struct http_clients *clients, struct http_client *client);

/* Ends the connections that are past their deadline. Returns the next deadline, or INT64_MAX. */
int64_t http_clients_expire(struct http_clients *clients, int64_t now);

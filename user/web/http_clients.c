/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/http_clients.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static void http_clients_end(struct http_client *client)
{
	client->is_ended = true;
	shutdown(client->fd, SHUT_RDWR);
}

/* Of a Unix socket: the user. */
static void http_clients_copy_address(struct http_client *client, const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (address->sa_family == AF_UNIX &&
	    getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
		client->is_root = peer.uid == 0;
		memcpy(client->address, &peer.uid, sizeof(peer.uid));
	}
	if (address->sa_family == AF_INET)
		memcpy(client->address, &v4->sin_addr, sizeof(v4->sin_addr));
	else if (address->sa_family == AF_INET6)
		memcpy(client->address, &v6->sin6_addr, sizeof(client->address));
}

static bool http_clients_is_same(const struct http_client *a, const struct http_client *b)
{
	return !memcmp(a->address, b->address, sizeof(a->address));
}

/* The oldest connection without a request, or else the oldest one. @like: only of that client's
 * address; NULL = of any. */
static struct http_client *http_clients_choose(struct http_clients *clients,
                                               const struct http_client *like)
{
	struct http_client *oldest = NULL;

	for (struct http_client *c = clients->oldest; c; c = c->next) {
		if (c->is_ended || (like && !http_clients_is_same(c, like)))
			continue;
		if (!c->has_asked)
			return c;
		oldest = oldest ? oldest : c;
	}
	return oldest;
}

static void http_clients_make_room(struct http_clients *clients, const struct http_client *newest)
{
	unsigned int n = 0, same = 0;

	for (const struct http_client *c = clients->oldest; c; c = c->next) {
		n += !c->is_ended;
		same += !c->is_ended && http_clients_is_same(c, newest);
	}
	if (same >= HTTP_CLIENTS_PER_ADDRESS)
		http_clients_end(http_clients_choose(clients, newest));
	else if (n >= HTTP_CLIENTS_MAX)
		http_clients_end(http_clients_choose(clients, NULL));
}

struct http_client *http_clients_add(struct http_clients *clients, int fd,
                                     const struct sockaddr *address, int64_t now)
{
	struct http_client **at = &clients->oldest;
	struct http_client *client = calloc(1, sizeof(*client));

	if (!client) {
		shutdown(fd, SHUT_RDWR);
		return NULL;
	}
	client->fd = fd;
	client->deadline = now + HTTP_CLIENTS_REQUEST_NS;
	http_clients_copy_address(client, address);
	http_clients_make_room(clients, client);
	while (*at)
		at = &(*at)->next;
	*at = client;
	return client;
}

void http_clients_note_request(struct http_client *client, int64_t now)
{
	client->has_asked = true;
	client->deadline = now + HTTP_CLIENTS_ANSWER_NS;
}

void http_clients_remove(struct http_clients *clients, struct http_client *client)
{
	struct http_client **at = &clients->oldest;

	while (*at && *at != client)
		at = &(*at)->next;
	if (*at)
		*at = client->next;
	free(client);
}

int64_t http_clients_expire(struct http_clients *clients, int64_t now)
{
	int64_t next = INT64_MAX;

	for (struct http_client *c = clients->oldest; c; c = c->next) {
		if (c->is_ended)
			continue;
		if (c->deadline <= now)
			http_clients_end(c);
		else if (c->deadline < next)
			next = c->deadline;
	}
	return next;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/exporter_clients.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static void exporter_clients_end(struct exporter_client *client)
{
	client->is_ended = true;
	shutdown(client->fd, SHUT_RDWR);
}

static void exporter_clients_copy_address(struct exporter_client *client,
                                          const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	if (address->sa_family == AF_INET)
		memcpy(client->address, &v4->sin_addr, sizeof(v4->sin_addr));
	else if (address->sa_family == AF_INET6)
		memcpy(client->address, &v6->sin6_addr, sizeof(client->address));
}

static bool exporter_clients_is_same(const struct exporter_client *a,
                                     const struct exporter_client *b)
{
	return !memcmp(a->address, b->address, sizeof(a->address));
}

/* The oldest connection without a request, or else the oldest one. @like: only of that client's
 * address; NULL = of any. */
static struct exporter_client *exporter_clients_choose(struct exporter_clients *clients,
                                                       const struct exporter_client *like)
{
	struct exporter_client *oldest = NULL;

	for (struct exporter_client *c = clients->oldest; c; c = c->next) {
		if (c->is_ended || (like && !exporter_clients_is_same(c, like)))
			continue;
		if (!c->has_asked)
			return c;
		oldest = oldest ? oldest : c;
	}
	return oldest;
}

static void exporter_clients_make_room(struct exporter_clients *clients,
                                       const struct exporter_client *newest)
{
	unsigned int n = 0, same = 0;

	for (const struct exporter_client *c = clients->oldest; c; c = c->next) {
		n += !c->is_ended;
		same += !c->is_ended && exporter_clients_is_same(c, newest);
	}
	if (same >= EXPORTER_CLIENTS_PER_ADDRESS)
		exporter_clients_end(exporter_clients_choose(clients, newest));
	else if (n >= EXPORTER_CLIENTS_MAX)
		exporter_clients_end(exporter_clients_choose(clients, NULL));
}

struct exporter_client *exporter_clients_add(struct exporter_clients *clients, int fd,
                                             const struct sockaddr *address, int64_t now)
{
	struct exporter_client **at = &clients->oldest;
	struct exporter_client *client = calloc(1, sizeof(*client));

	if (!client) {
		shutdown(fd, SHUT_RDWR);
		return NULL;
	}
	client->fd = fd;
	client->deadline = now + EXPORTER_CLIENTS_REQUEST_NS;
	exporter_clients_copy_address(client, address);
	exporter_clients_make_room(clients, client);
	while (*at)
		at = &(*at)->next;
	*at = client;
	return client;
}

void exporter_clients_note_request(struct exporter_client *client, int64_t now)
{
	client->has_asked = true;
	client->deadline = now + EXPORTER_CLIENTS_ANSWER_NS;
}

void exporter_clients_remove(struct exporter_clients *clients, struct exporter_client *client)
{
	struct exporter_client **at = &clients->oldest;

	while (*at && *at != client)
		at = &(*at)->next;
	if (*at)
		*at = client->next;
	free(client);
}

int64_t exporter_clients_expire(struct exporter_clients *clients, int64_t now)
{
	int64_t next = INT64_MAX;

	for (struct exporter_client *c = clients->oldest; c; c = c->next) {
		if (c->is_ended)
			continue;
		if (c->deadline <= now)
			exporter_clients_end(c);
		else if (c->deadline < next)
			next = c->deadline;
	}
	return next;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "connection.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

struct connection *connection_new(int fd)
{
	struct connection *connection = malloc(sizeof(*connection));

	if (!connection) {
		warn("connection");
		close(fd);
		return NULL;
	}
	/* Without the text, for speed. */
	memset(connection, 0, offsetof(struct connection, text) + 1);
	connection->source.fd = fd;
	return connection;
}

void connection_add(struct connection *connection, struct connection_list *list)
{
	LIST_INSERT_HEAD(list, connection, all);
	connection->listed = true;
}

void connection_free(struct connection *connection)
{
	if (connection->listed)
		LIST_REMOVE(connection, all);
	if (connection->working)
		TAILQ_REMOVE(connection->working, connection, work);
	close(connection->source.fd);
	free(connection);
}

bool connection_is_idle(const struct connection *connection)
{
	return connection->served && !connection->request.open && !connection->len;
}

static void connection_consume(struct connection *connection, size_t len)
{
	connection->len -= len;
	memmove(connection->text, connection->text + len, connection->len + 1);
}

/* Whether something happens now that happens once in @every times; 0: never. */
static bool connection_happens(struct service *service, int every)
{
	return every && rand_r(&service->seed) % every == 0;
}

/* Returns false when the connection is to be closed. */
static bool connection_answer(struct connection *connection, struct service *service)
{
	struct request *request = &connection->request;
	char text[ANSWER_MAX];
	size_t len;

	if (service->last)
		request->close = true;
	request->fails = connection_happens(service, service->options->fail_every);
	len = http_write_answer(text, request, service->id);
	if (send(connection->source.fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		return false;
	request->open = false;
	connection->served++;
	return !request->close;
}

/* Whether the connection is reset now. */
static bool connection_resets(struct connection *connection, struct service *service)
{
	const struct linger now = {.l_onoff = 1};

	if (!connection_happens(service, service->options->reset_every))
		return false;
	setsockopt(connection->source.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return true;
}

/* By chance, as workers that get requests in turn would use processor time at the same moment. */
static void connection_burn(struct service *service)
{
	const struct options *options = service->options;
	int64_t end;

	if (!connection_happens(service, options->burn_every))
		return;
	end = clock_used_ms() + options->burn_ms;
	while (clock_used_ms() < end)
		;
}

static void connection_begin_work(struct connection *connection, struct service *service)
{
	connection->answer_ms = clock_now_ms() + service->options->work_ms;
	connection->working = &service->working;
	TAILQ_INSERT_TAIL(&service->working, connection, work);
}

/* Answers all requests that are whole. Returns false when the connection is to be closed. */
static bool connection_progress(struct connection *connection, struct service *service)
{
	struct request *request = &connection->request;

	while (!connection->working) {
		size_t part;

		if (!request->open) {
			part = http_read_request(request, connection->text, connection->len);
			if (part == 0)
				return connection->len < REQUEST_MAX;
			connection_consume(connection, part);
		}
		part = connection->len < request->body_left ? connection->len
		                                            : (size_t)request->body_left;
		connection_consume(connection, part);
		request->body_left -= part;
		if (request->body_left)
			return true;
		connection_burn(service);
		if (service->options->work_ms)
			connection_begin_work(connection, service);
		else if (connection_resets(connection, service) ||
		         !connection_answer(connection, service))
			return false;
	}
	return connection->len < REQUEST_MAX;
}

bool connection_end_work(struct connection *connection, struct service *service)
{
	TAILQ_REMOVE(connection->working, connection, work);
	connection->working = NULL;
	return connection_answer(connection, service) && connection_progress(connection, service);
}

bool connection_serve(struct connection *connection, struct service *service)
{
	ssize_t n = recv(connection->source.fd, connection->text + connection->len,
	                 REQUEST_MAX - connection->len, 0);

	if (n < 0)
		return (errno == EAGAIN && !service->blocking) || errno == EINTR;
	if (n == 0)
		return false;
	connection->len += (size_t)n;
	connection->text[connection->len] = '\0';
	return connection_progress(connection, service);
}

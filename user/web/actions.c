/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/actions.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/service_name.h"

/* What the two processes send each other. */
struct action_message {
	uint32_t id;
	enum request_kind kind;
	char service[RPD_LABEL_MAX];
	char by[ACTIONS_BY_MAX];
	uint32_t n;
	char body[ACTIONS_BODY_MAX];
};

struct action_outcome {
	uint32_t id;
	int status; /* enum exit_status */
	char text[ERROR_TEXT_MAX];
};

void actions_init(struct actions *actions)
{
	*actions = (struct actions){.socket = -1};
}

/* --- in the process that has the rights */

static int actions_check(const struct action_message *message, struct action *ret,
                         struct error *err)
{
	int r = error_usage(err, "there is no such action");

	if (request_action_name(message->kind) && message->n <= sizeof(message->body) &&
	    memchr(message->service, '\0', sizeof(message->service)) &&
	    memchr(message->by, '\0', sizeof(message->by)))
		r = service_name_check(message->service, err);
	if (r == 0)
		r = request_parse_action(message->kind, message->body, message->n, &ret->request,
		                         err);
	ret->service = message->service;
	ret->by = message->by;
	return r;
}

/* In a child: what the action leaves open ends with it. */
static void actions_carry_out(int fd, const struct action_message *message, action_function *act)
{
	struct action_outcome outcome = {.id = message->id};
	struct action action = {};
	struct error err = {};
	int r;

	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	alarm(ACTIONS_TIME_S);
	r = actions_check(message, &action, &err);
	if (r == 0)
		r = act(&action, &err);
	if (r < 0)
		outcome.status = err.status ? err.status : EXIT_REFUSED;
	memcpy(outcome.text, err.text, sizeof(outcome.text));
	send(fd, &outcome, offsetof(struct action_outcome, text) + strlen(outcome.text) + 1,
	     MSG_NOSIGNAL);
	_exit(0);
}

static void actions_serve(int fd, action_function *act)
{
	static struct action_message message;
	unsigned int children = 0;
	ssize_t n;

	/* They come to both processes, and the other one's end is this one's. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	while ((n = recv(fd, &message, sizeof(message), 0)) > 0 || (n < 0 && errno == EINTR)) {
		pid_t pid;

		if (n != sizeof(message))
			continue;
		while (children > 0 && waitpid(-1, NULL, children < ACTIONS_MAX ? WNOHANG : 0) > 0)
			children--;
		pid = fork();
		if (pid == 0)
			actions_carry_out(fd, &message, act);
		children += pid > 0;
	}
	_exit(0);
}

int actions_start(struct actions *actions, action_function *act, struct error *err)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(err, -errno, "can't make a socket: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		/* Not the listener either, which would outlive the other process. */
		close_range(STDERR_FILENO + 1, ends[1] - 1, 0);
		close_range(ends[1] + 1, ~0U, 0);
		actions_serve(ends[1], act);
	}
	close(ends[1]);
	actions->socket = ends[0];
	return pid < 0 ? error_set(err, -errno, "can't make a process: %s", strerror(errno)) : 0;
}

/* --- in the process that serves HTTP */

static void actions_answer(struct actions *actions, struct action_client **row, unsigned int status,
                           const char *text)
{
	struct action_client *client = TAKE_PTR(*row);

	client->status = status;
	client->text = text ? strdup(text) : NULL;
	http.resume_connection(client->connection);
}

static void actions_refuse(struct action_client *client, const char *text)
{
	client->status = MHD_HTTP_SERVICE_UNAVAILABLE;
	client->text = strdup(text);
}

void actions_ask(struct actions *actions, struct action_client *client)
{
	struct action_message message = {
	        .id = ++actions->last_id, .kind = client->route->action, .n = (uint32_t)client->n};
	struct action_client **row = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(actions->clients); i++)
		if (!actions->clients[i])
			row = &actions->clients[i];
	if (!row) {
		actions_refuse(client, "too many actions are under way");
		return;
	}
	memcpy(message.service, client->service, sizeof(message.service));
	memcpy(message.by, client->by, sizeof(message.by));
	memcpy(message.body, client->body, client->n);
	if (send(actions->socket, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		actions_refuse(client, "the process that carries out actions is busy");
		return;
	}
	client->id = message.id;
	client->deadline = clock_ns(CLOCK_MONOTONIC) + ACTIONS_WAIT_NS;
	*row = client;
	http.suspend_connection(client->connection);
}

bool actions_read(struct actions *actions)
{
	static struct action_outcome outcome;
	const ssize_t n = recv(actions->socket, &outcome, sizeof(outcome), MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	for (size_t i = 0; i < ARRAY_SIZE(actions->clients); i++) {
		struct action_client **row = &actions->clients[i];

		if (!*row || (*row)->id != outcome.id)
			continue;
		if (outcome.status == EXIT_OK)
			actions_answer(actions, row, MHD_HTTP_OK, NULL);
		else
			actions_answer(actions, row,
			               outcome.status == EXIT_USAGE ? MHD_HTTP_BAD_REQUEST
			                                            : MHD_HTTP_CONFLICT,
			               outcome.text);
	}
	return true;
}

int64_t actions_expire(struct actions *actions, int64_t now)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(actions->clients); i++) {
		struct action_client **row = &actions->clients[i];

		if (*row && (*row)->deadline <= now)
			actions_answer(actions, row, MHD_HTTP_GATEWAY_TIMEOUT,
			               "the action has not ended in time; it goes on");
		else if (*row && (*row)->deadline < next)
			next = (*row)->deadline;
	}
	return next;
}

void actions_forget(struct actions *actions, struct action_client *client)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions->clients); i++)
		if (actions->clients[i] == client)
			actions->clients[i] = NULL;
	free(client->text);
	free(client);
}

void actions_stop(struct actions *actions)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions->clients); i++)
		if (actions->clients[i])
			actions_answer(actions, &actions->clients[i], MHD_HTTP_SERVICE_UNAVAILABLE,
			               "the server ends");
	cleanup_close(&actions->socket);
	actions_init(actions);
}

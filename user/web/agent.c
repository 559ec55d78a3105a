/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/agent.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/netns.h"
#include "service/drain_mark.h"
#include "view/ready_view.h"
#include "web/answers.h"

/* Of one call of agent_handle(). */
#define AGENT_EVENTS  32
#define AGENT_ACCEPTS 32

/* A client that has sent more at once is no HAProxy. */
#define AGENT_SENT_MAX 4096

void agent_init(struct agent *agent)
{
	*agent = (struct agent){.epoll = -1, .listener = -1};
}

/* @client: NULL = the listener. */
static int agent_watch(struct agent *agent, int fd, struct http_client *client)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = client};

	return epoll_ctl(agent->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int agent_start(struct agent *agent, struct error *err)
{
	int r;

	agent->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = agent->epoll < 0 ? -errno : agent_watch(agent, agent->listener, NULL);
	return r < 0 ? error_set(err, r, "can't wait for agent checks: %s", strerror(-r)) : 0;
}

static void agent_close(struct agent *agent, struct http_client *client)
{
	const int fd = client->fd;

	http_clients_remove(&agent->clients, client);
	close(fd);
}

/* A line is kept as long as an answer (answers.h). */
static const char *agent_look(struct agent *agent, const struct look_settings *settings, int home,
                              int64_t now)
{
	const int64_t change = drain_mark_read_change();
	struct error err = {};
	struct ready_view it;

	if (change != agent->change)
		agent->line[0] = '\0';
	if (agent->line[0] && now < agent->until)
		return agent->line;
	if (look_read_ready(settings, NULL, &it, &err) < 0)
		ready_view_note_fault(&it, err.text);
	netns_return(home, &err);
	if (it.busy && agent->line[0] && now < agent->seen + ANSWERS_BUSY_NS) {
		agent->until = agent->seen + ANSWERS_BUSY_NS;
		return agent->line;
	}
	agent->change = change;
	agent->seen = now;
	agent->until = now + ANSWERS_KEPT_NS;
	return ready_view_format_agent(&it, agent->line, sizeof(agent->line));
}

static void agent_answer(struct agent *agent, int fd, const struct sockaddr *address,
                         const char *line)
{
	struct http_client *client =
	        http_clients_add(&agent->clients, fd, address, clock_ns(CLOCK_MONOTONIC));

	if (!client) {
		close(fd);
		return;
	}
	send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	/* With what the client has sent unread, close() would send a RST, which may overtake the
	 * line. So the client closes first. */
	if (agent_watch(agent, fd, client) < 0)
		agent_close(agent, client);
}

static void agent_accept(struct agent *agent, const struct look_settings *settings, int home)
{
	for (int i = 0; i < AGENT_ACCEPTS; i++) {
		struct sockaddr_storage address;
		socklen_t size = sizeof(address);
		const int fd = accept4(agent->listener, (struct sockaddr *)&address, &size,
		                       SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		agent_answer(agent, fd, (struct sockaddr *)&address,
		             agent_look(agent, settings, home, clock_ns(CLOCK_MONOTONIC)));
	}
}

/* Reads what the client sends, which has no meaning, up to the end. */
static void agent_read(struct agent *agent, struct http_client *client)
{
	char ignored[AGENT_SENT_MAX];
	const ssize_t n = recv(client->fd, ignored, sizeof(ignored), MSG_DONTWAIT);

	if (n == 0 || n == sizeof(ignored) || (n < 0 && errno != EAGAIN && errno != EINTR))
		agent_close(agent, client);
}

void agent_handle(struct agent *agent, const struct look_settings *settings, int home)
{
	struct epoll_event events[AGENT_EVENTS];
	const int n = epoll_wait(agent->epoll, events, AGENT_EVENTS, 0);
	bool accepts = false;

	/* Accepting may end clients, so it comes last. */
	for (int i = 0; i < n; i++) {
		accepts |= !events[i].data.ptr;
		if (events[i].data.ptr)
			agent_read(agent, events[i].data.ptr);
	}
	if (accepts)
		agent_accept(agent, settings, home);
}

int64_t agent_expire(struct agent *agent, int64_t now)
{
	return http_clients_expire(&agent->clients, now);
}

void agent_stop(struct agent *agent)
{
	while (agent->clients.oldest)
		agent_close(agent, agent->clients.oldest);
	cleanup_close(&agent->listener);
	cleanup_close(&agent->epoll);
	agent_init(agent);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/http_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/netns.h"
#include "kern/privileges_drop.h"
#include "web/http_listener.h"
#include "web/http_request.h"

/* Some connections more than http_clients.h allows, because some are still being ended. */
#define CONNECTIONS (HTTP_CLIENTS_MAX + 32u)
#define MEMORY      ((size_t)16 * 1024) /* of a connection, for the head of its request */

void http_server_init(struct http_server *server, const struct http_settings *settings)
{
	*server = (struct http_server){
	        .settings = settings, .listener = -1, .home = -1, .lifeline = -1};
	actions_init(&server->actions);
	agent_init(&server->agent);
}

void http_server_stop(struct http_server *server)
{
	const bool is_bound = server->daemon || server->listener >= 0;

	actions_stop(&server->actions);
	agent_stop(&server->agent);
	answers_free(&server->answers);
	if (server->daemon) {
		http.run(server->daemon);         /* sends what actions_stop() has answered */
		http.stop_daemon(server->daemon); /* closes the listener */
	}
	cleanup_close(&server->listener);
	if (is_bound && !server->is_inherited)
		http_listener_remove(&server->settings->address);
	cleanup_close(&server->lifeline);
	cleanup_close(&server->home);
	http_server_init(server, server->settings);
}

/* --- the listener */

static int http_server_bind_by(struct http_server *server,
                               int (*open)(const struct http_address *address, const char *what,
                                           struct error *err),
                               struct error *err)
{
	const struct http_settings *settings = server->settings;
	const struct http_address agent = {.tcp = settings->agent};
	int r = server->home < 0 ? netns_open_current(&server->home, err)
	                         : netns_return(server->home, err);

	if (r == 0 && server->listener < 0)
		r = server->listener = open(&settings->address, settings->what, err);
	if (r >= 0 && agent.tcp.family && server->agent.listener < 0)
		r = server->agent.listener = open(&agent, "agent checks", err);
	return r < 0 ? r : 0;
}

int http_server_bind(struct http_server *server, struct error *err)
{
	return http_server_bind_by(server, http_listener_open, err);
}

int http_server_await_bind(struct http_server *server, struct error *err)
{
	return http_server_bind_by(server, http_listener_await, err);
}

int http_server_inherit(struct http_server *server, struct error *err)
{
	const struct http_address *wanted = &server->settings->address;
	const int n = sd_listen_fds(true);
	char text[HTTP_ADDRESS_TEXT_MAX];
	struct http_address address;
	int r;

	if (n <= 0)
		return 0;
	if (http_listener_read(SD_LISTEN_FDS_START, &address) < 0)
		return error_set(err, -ENOTSOCK, "descriptor %d is not a listener",
		                 SD_LISTEN_FDS_START);
	if (http_address_is_local(wanted) && !http_address_is_local(&address))
		return error_set(err, -EINVAL,
		                 "other hosts can reach the listener that was passed, on %s: "
		                 "--listen must name this address",
		                 http_address_format(&address, text));
	r = netns_open_current(&server->home, err);
	if (r < 0)
		return r;
	server->listener = SD_LISTEN_FDS_START;
	server->is_inherited = true;
	if (n > 1 && sd_is_fifo(SD_LISTEN_FDS_START + 1, NULL) > 0)
		server->lifeline = SD_LISTEN_FDS_START + 1;
	if (n > 2 && server->lifeline >= 0)
		server->agent.listener = SD_LISTEN_FDS_START + 2;
	return 0;
}

/* --- libmicrohttpd */

/* Called with the head of a request; only for an action with what follows. */
static enum MHD_Result http_server_on_request(void *data, struct MHD_Connection *connection,
                                              const char *path, const char *method,
                                              const char *version, const char *body,
                                              size_t *body_size, void **state)
{
	const union MHD_ConnectionInfo *info =
	        http.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	if (*state)
		return http_request_continue(data, *state, body, body_size);
	if (info && info->socket_context)
		http_clients_note_request(info->socket_context, clock_ns(CLOCK_MONOTONIC));
	return http_request_begin(data, connection, path, method, state);
}

static void http_server_on_completed(void *data, struct MHD_Connection *connection, void **state,
                                     enum MHD_RequestTerminationCode why)
{
	struct http_server *server = data;

	if (*state)
		actions_forget(&server->actions, *state);
	*state = NULL;
}

static void http_server_on_connection(void *data, struct MHD_Connection *connection, void **state,
                                      enum MHD_ConnectionNotificationCode what)
{
	struct http_server *server = data;
	const union MHD_ConnectionInfo *fd, *address;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		http_clients_remove(&server->clients, *state);
		return;
	}
	fd = http.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	address = http.get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	*state = http_clients_add(&server->clients, fd->connect_fd, address->client_addr,
	                          clock_ns(CLOCK_MONOTONIC));
}

/* Paths and values stay as they were sent (route.h). */
static size_t http_server_keep_escapes(void *data, struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

static int http_server_start(struct http_server *server, struct error *err)
{
	int r = http_library_load(err);

	if (r < 0)
		return r;
	server->daemon = http.start_daemon(
	        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, http_server_on_request,
	        server, MHD_OPTION_LISTEN_SOCKET, server->listener, MHD_OPTION_CONNECTION_LIMIT,
	        CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY,
	        MHD_OPTION_NOTIFY_CONNECTION, http_server_on_connection, server,
	        MHD_OPTION_NOTIFY_COMPLETED, http_server_on_completed, server,
	        MHD_OPTION_UNESCAPE_CALLBACK, http_server_keep_escapes, server, MHD_OPTION_END);
	if (!server->daemon)
		return error_set(err, -ENOMEM, "can't start the HTTP server");
	TAKE_FD(server->listener); /* the daemon closes it */
	return 0;
}

/* --- the loop */

/* How long poll() may wait, in milliseconds; -1 = for ever. */
static int http_server_find_timeout(struct http_server *server)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	const int64_t times[] = {
	        http_clients_expire(&server->clients, now), answers_expire(&server->answers, now),
	        actions_expire(&server->actions, now), agent_expire(&server->agent, now)};
	int64_t next = INT64_MAX, left = -1;
	MHD_UNSIGNED_LONG_LONG ms;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		next = times[i] < next ? times[i] : next;
	if (next != INT64_MAX)
		left = (next - now) / (NS_PER_S / 1000) + 1;
	if (http.get_timeout(server->daemon, &ms) == MHD_YES && (left < 0 || (int64_t)ms < left))
		left = (int64_t)ms;
	return (int)left;
}

/* @signals: the signals that end the server. */
static int http_server_run(struct http_server *server, int signals, struct error *err)
{
	struct pollfd fds[] = {
	        {.fd = http.get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
	         .events = POLLIN},
	        {.fd = signals, .events = POLLIN},
	        {.fd = server->lifeline, .events = POLLIN},
	        {.fd = server->actions.socket, .events = POLLIN},
	        {.fd = server->agent.epoll, .events = POLLIN},
	};

	while (!fds[1].revents && !fds[2].revents) {
		if (fds[3].revents && !actions_read(&server->actions))
			return error_set(err, -EPIPE,
			                 "the process that carries out actions has ended");
		if (fds[4].revents)
			agent_handle(&server->agent, &server->settings->look, server->home);
		http.run(server->daemon);
		poll(fds, ARRAY_SIZE(fds), http_server_find_timeout(server));
	}
	return 0;
}

int http_server_serve(struct http_server *server, void (*ready)(const void *data), const void *data,
                      struct error *err)
{
	_cleanup_close_ int signals = -1;
	sigset_t ends;
	int r = 0;

	if (server->settings->act)
		r = actions_start(&server->actions, server->settings->act, err);
	if (r < 0)
		return r;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &ends, SFD_CLOEXEC);
	if (signals < 0)
		return error_set(err, -errno, "can't wait for signals: %s", strerror(errno));
	r = http_server_start(server, err);
	if (r == 0 && server->agent.listener >= 0)
		r = agent_start(&server->agent, err);
	if (r == 0)
		r = privileges_drop(err);
	if (r < 0)
		return r;
	ready(data);
	return http_server_run(server, signals, err);
}

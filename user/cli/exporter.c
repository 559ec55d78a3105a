/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/exporter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "cli/http_library.h"
#include "cli/service_status.h"
#include "core/endpoint.h"
#include "kern/netns.h"
#include "kern/pins.h"
#include "kern/privileges_drop.h"
#include "view/list_view.h"
#include "view/metrics.h"

#define EXPORTER_KEPT_NS NS_PER_S /* an answer is given again for this time */

/* Some connections more than exporter_clients.h allows, because some are still being ended. */
#define EXPORTER_CONNECTIONS (EXPORTER_CLIENTS_MAX + 32u)
#define EXPORTER_MEMORY      ((size_t)16 * 1024) /* of a connection, for the head of its request */

/* How long exporter_await_bind() waits for an exporter that ends. */
#define EXPORTER_BIND_TRIES    50
#define EXPORTER_BIND_PAUSE_NS 20000000

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_TEXT    "text/plain; charset=utf-8"

void exporter_init(struct exporter *exporter)
{
	*exporter = (struct exporter){.listener = -1, .home = -1, .lifeline = -1};
}

void exporter_stop(struct exporter *exporter)
{
	if (exporter->answer)
		http.destroy_response(exporter->answer);
	if (exporter->server)
		http.stop_daemon(exporter->server); /* closes the listener */
	cleanup_close(&exporter->listener);
	cleanup_close(&exporter->lifeline);
	cleanup_close(&exporter->home);
	exporter_init(exporter);
}

static int exporter_read_one(struct json_object *services, const char *name, struct error *err)
{
	struct json_object *status;
	int r = service_status_read_named(name, WORKER_VIEW_COUNTERS, &status, err);

	if (r == SERVICE_OPEN)
		json_build_add(services, status);
	return r;
}

/* What is left of the patience from @begin on, for the locks of all services together. */
static void exporter_set_patience(int64_t begin)
{
	const int64_t waited = (clock_ns(CLOCK_MONOTONIC) - begin) / (NS_PER_S / 1000);

	pins_set_waiting(pins_never_wait,
	                 waited < PINS_PATIENCE_MS ? PINS_PATIENCE_MS - (unsigned int)waited : 0);
}

/* @begin: of a scrape, CLOCK_MONOTONIC, ns; 0 = waits for each lock. */
static int exporter_read_all(struct json_object *services, int64_t begin, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	size_t n = 0;
	int r = pins_list_services(&names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct error why;
		int failed;

		if (begin)
			exporter_set_patience(begin);
		failed = exporter_read_one(services, names[i], &why);
		/* SERVICE_NONE: detached since the names were read. */
		if (failed < 0 || failed == SERVICE_LOCKED)
			list_view_add_unreadable(services, names[i], why.text);
	}
	return r;
}

static int exporter_read_since(const char *service, int64_t begin, struct json_object **ret,
                               struct error *err)
{
	struct json_object *services = list_view_new();
	int r = service ? exporter_read_one(services, service, err)
	                : exporter_read_all(services, begin, err);

	if (r == 0)
		*ret = services;
	else
		json_object_put(services);
	return r;
}

int exporter_read(const char *service, struct json_object **ret, struct error *err)
{
	return exporter_read_since(service, 0, ret, err);
}

/* One scrape. Leaves the service's network namespace, so that the exporter does not keep it alive
 * after its workers have ended. */
static int exporter_scrape(const struct exporter *exporter, char **ret, size_t *ret_size,
                           struct error *err)
{
	struct json_object *services = NULL;
	struct error ignored;
	FILE *out = NULL;
	int r = exporter_read_since(exporter->service, clock_ns(CLOCK_MONOTONIC), &services, err);

	netns_return(exporter->home, &ignored);
	if (r == SERVICE_NONE) { /* reuseportd_up is 0 then */
		services = list_view_new();
		list_view_add_unreadable(services, exporter->service, err->text);
	} else if (r != SERVICE_OPEN) {
		return r < 0 ? r : -EBUSY;
	}
	out = open_memstream(ret, ret_size);
	r = out ? metrics_print(out, services, err) : -ENOMEM;
	json_object_put(services);
	if ((out && fclose(out) != 0) || r < 0)
		return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

/* --- answers */

/* Each answer ends its connection. */
static struct MHD_Response *
exporter_new_response(char *text, size_t n, enum MHD_ResponseMemoryMode mode, const char *type)
{
	struct MHD_Response *response = http.create_response_from_buffer(n, text, mode);

	if (!response)
		return NULL;
	http.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	http.add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	return response;
}

static enum MHD_Result exporter_send_text(struct MHD_Connection *connection, unsigned int status,
                                          const char *text)
{
	struct MHD_Response *response = exporter_new_response((char *)text, strlen(text),
	                                                      MHD_RESPMEM_PERSISTENT, TYPE_TEXT);
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		http.add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	r = http.queue_response(connection, status, response);
	http.destroy_response(response);
	return r;
}

/* A new answer in place of the kept one. */
static void exporter_renew_answer(struct exporter *exporter)
{
	const char *type = TYPE_METRICS;
	_cleanup_free_ char *text = NULL;
	struct error err;
	size_t n;

	if (exporter->answer)
		http.destroy_response(exporter->answer); /* as soon as it has been sent */
	exporter->answer_status = MHD_HTTP_OK;
	if (exporter_scrape(exporter, &text, &n, &err) < 0) {
		error_add(&err, 0, "\n");
		text = strdup(err.text);
		n = strlen(err.text);
		type = TYPE_TEXT;
		exporter->answer_status = MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	exporter->answer =
	        text ? exporter_new_response(text, n, MHD_RESPMEM_MUST_FREE, type) : NULL;
	if (exporter->answer)
		TAKE_PTR(text);
	exporter->answered_at = clock_ns(CLOCK_MONOTONIC);
}

static enum MHD_Result exporter_send_metrics(struct exporter *exporter,
                                             struct MHD_Connection *connection)
{
	if (!exporter->answer ||
	    clock_ns(CLOCK_MONOTONIC) - exporter->answered_at >= EXPORTER_KEPT_NS)
		exporter_renew_answer(exporter);
	return exporter->answer
	               ? http.queue_response(connection, exporter->answer_status, exporter->answer)
	               : MHD_NO;
}

/* libmicrohttpd calls it with the head of a request. As it queues a response at once, the body is
 * not read. */
static enum MHD_Result exporter_on_request(void *data, struct MHD_Connection *connection,
                                           const char *url, const char *method, const char *version,
                                           const char *body, size_t *body_size, void **state)
{
	const union MHD_ConnectionInfo *info =
	        http.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	if (info && info->socket_context)
		exporter_clients_note_request(info->socket_context, clock_ns(CLOCK_MONOTONIC));
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return exporter_send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
		                          "GET and HEAD only\n");
	if (strcmp(url, "/metrics") != 0)
		return exporter_send_text(connection, MHD_HTTP_NOT_FOUND,
		                          "not found; see /metrics\n");
	return exporter_send_metrics(data, connection);
}

static void exporter_on_connection(void *data, struct MHD_Connection *connection, void **state,
                                   enum MHD_ConnectionNotificationCode what)
{
	struct exporter *exporter = data;
	const union MHD_ConnectionInfo *fd, *address;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		exporter_clients_remove(&exporter->clients, *state);
		return;
	}
	fd = http.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	address = http.get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	*state = exporter_clients_add(&exporter->clients, fd->connect_fd, address->client_addr,
	                              clock_ns(CLOCK_MONOTONIC));
}

/* --- the listener */

/* Returns the descriptor or a negative errno. */
static int exporter_open_listener(const struct rpd_endpoint *address)
{
	_cleanup_close_ int fd =
	        socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
	const bool is_v6 = address->family == AF_INET6;
	const int yes = 1;

	memcpy(&v4.sin_addr, address->addr, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, address->addr, sizeof(v6.sin6_addr));
	/* Allows the address while connections of an earlier exporter are in TIME_WAIT; another
	 * listener on it is still an error. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    (is_v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) < 0) ||
	    bind(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
	         is_v6 ? sizeof(v6) : sizeof(v4)) < 0 ||
	    listen(fd, EXPORTER_CLIENTS_MAX) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int exporter_bind(struct exporter *exporter, const struct rpd_endpoint *address, struct error *err)
{
	char text[ENDPOINT_TEXT_MAX];
	int fd, r = exporter->home < 0 ? netns_open_current(&exporter->home, err)
	                               : netns_return(exporter->home, err);

	if (r < 0)
		return r;
	fd = exporter_open_listener(address);
	if (fd < 0)
		return error_set(err, fd, "can't serve the metrics on %s: %s",
		                 endpoint_format(address, text, sizeof(text)), strerror(-fd));
	exporter->listener = fd;
	return 0;
}

/* The exporter of a supervisor or watcher that was killed may take a moment to end. */
int exporter_await_bind(struct exporter *exporter, const struct rpd_endpoint *address,
                        struct error *err)
{
	const struct timespec pause = {.tv_nsec = EXPORTER_BIND_PAUSE_NS};
	int r = exporter_bind(exporter, address, err);

	for (int i = 0; r == -EADDRINUSE && i < EXPORTER_BIND_TRIES; i++) {
		nanosleep(&pause, NULL);
		r = exporter_bind(exporter, address, err);
	}
	return r;
}

int exporter_inherit(struct exporter *exporter, struct error *err)
{
	const int n = sd_listen_fds(true);
	int r;

	if (n <= 0)
		return 0;
	if (sd_is_socket(SD_LISTEN_FDS_START, AF_UNSPEC, SOCK_STREAM, true) <= 0)
		return error_set(err, -ENOTSOCK, "descriptor %d is not a listener",
		                 SD_LISTEN_FDS_START);
	r = netns_open_current(&exporter->home, err);
	if (r < 0)
		return r;
	exporter->listener = SD_LISTEN_FDS_START;
	if (n > 1 && sd_is_fifo(SD_LISTEN_FDS_START + 1, NULL) > 0)
		exporter->lifeline = SD_LISTEN_FDS_START + 1;
	return 1;
}

/* --- the server */

static int exporter_start(struct exporter *exporter, struct error *err)
{
	int r = http_library_load(err);

	if (r < 0)
		return r;
	exporter->server = http.start_daemon(
	        MHD_USE_EPOLL, 0, NULL, NULL, exporter_on_request, exporter,
	        MHD_OPTION_LISTEN_SOCKET, exporter->listener, MHD_OPTION_CONNECTION_LIMIT,
	        EXPORTER_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, EXPORTER_MEMORY,
	        MHD_OPTION_NOTIFY_CONNECTION, exporter_on_connection, exporter, MHD_OPTION_END);
	if (!exporter->server)
		return error_set(err, -ENOMEM, "can't start the HTTP server");
	TAKE_FD(exporter->listener); /* the server closes it */
	return 0;
}

/* How long poll() may wait, in milliseconds; -1 = for ever. */
static int exporter_find_timeout(struct exporter *exporter)
{
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	int64_t next = exporter_clients_expire(&exporter->clients, now), left = -1;
	MHD_UNSIGNED_LONG_LONG ms;

	if (next != INT64_MAX)
		left = (next - now) / (NS_PER_S / 1000) + 1;
	if (http.get_timeout(exporter->server, &ms) == MHD_YES && (left < 0 || (int64_t)ms < left))
		left = (int64_t)ms;
	return (int)left;
}

/* @signals: the signals that end the exporter. */
static void exporter_run(struct exporter *exporter, int signals)
{
	struct pollfd fds[] = {
	        {.fd = http.get_daemon_info(exporter->server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
	         .events = POLLIN},
	        {.fd = signals, .events = POLLIN},
	        {.fd = exporter->lifeline, .events = POLLIN},
	};

	while (!fds[1].revents && !fds[2].revents) {
		poll(fds, ARRAY_SIZE(fds), exporter_find_timeout(exporter));
		http.run(exporter->server);
	}
}

int exporter_serve(struct exporter *exporter, const char *service, void (*ready)(const void *data),
                   const void *data, struct error *err)
{
	_cleanup_close_ int signals = -1;
	sigset_t ends;
	int r;

	exporter->service = service;
	/* A scrape that fails is more useful than one that waits for another process. */
	pins_set_waiting(pins_never_wait, PINS_PATIENCE_MS);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &ends, SFD_CLOEXEC);
	if (signals < 0)
		return error_set(err, -errno, "can't wait for signals: %s", strerror(errno));
	r = exporter_start(exporter, err);
	if (r == 0)
		r = privileges_drop(err);
	if (r < 0)
		return r;
	ready(data);
	exporter_run(exporter, signals);
	return 0;
}

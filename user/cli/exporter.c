/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/exporter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "cli/http_library.h"
#include "cli/service_status.h"
#include "core/endpoint.h"
#include "kern/netns.h"
#include "kern/pins.h"
#include "view/list_view.h"
#include "view/metrics.h"

#define EXPORTER_CONNECTIONS  32u
#define EXPORTER_IDLE_SECONDS 300u /* longer than from one scrape to the next */

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_TEXT    "text/plain; charset=utf-8"

void exporter_init(struct exporter *exporter)
{
	*exporter = (struct exporter){.listener = -1, .home = -1};
}

void exporter_stop(struct exporter *exporter)
{
	if (exporter->server)
		http.stop_daemon(exporter->server); /* closes the listener */
	cleanup_close(&exporter->listener);
	cleanup_close(&exporter->home);
	exporter_init(exporter);
}

static int exporter_read_one(struct json_object *services, const char *name, struct error *err)
{
	struct json_object *status;
	int r = service_status_read_named(name, &status, err);

	if (r == SERVICE_OPEN)
		json_build_add(services, status);
	return r;
}

static int exporter_read_all(struct json_object *services, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	size_t n = 0;
	int r = pins_list_services(&names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct error why;
		int failed = exporter_read_one(services, names[i], &why);

		/* SERVICE_NONE: detached since the names were read. */
		if (failed < 0 || failed == SERVICE_LOCKED)
			list_view_add_unreadable(services, names[i], why.text);
	}
	return r;
}

int exporter_read(const char *service, struct json_object **ret, struct error *err)
{
	struct json_object *services = list_view_new();
	int r = service ? exporter_read_one(services, service, err)
	                : exporter_read_all(services, err);

	if (r == 0)
		*ret = services;
	else
		json_object_put(services);
	return r;
}

/* One scrape. Leaves the service's network namespace, so that the exporter does not keep it alive
 * after its workers have ended. */
static int exporter_scrape(const struct exporter *exporter, char **ret, size_t *ret_size,
                           struct error *err)
{
	struct json_object *services = NULL;
	struct error ignored;
	FILE *out = NULL;
	int r = exporter_read(exporter->service, &services, err);

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

static enum MHD_Result exporter_send_response(struct MHD_Connection *connection,
                                              unsigned int status, const char *type,
                                              struct MHD_Response *response)
{
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	http.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		http.add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	r = http.queue_response(connection, status, response);
	http.destroy_response(response);
	return r;
}

static enum MHD_Result exporter_send_text(struct MHD_Connection *connection, unsigned int status,
                                          const char *text)
{
	return exporter_send_response(connection, status, TYPE_TEXT,
	                              http.create_response_from_buffer(strlen(text), (void *)text,
	                                                               MHD_RESPMEM_MUST_COPY));
}

static enum MHD_Result exporter_send_metrics(const struct exporter *exporter,
                                             struct MHD_Connection *connection)
{
	struct MHD_Response *response;
	_cleanup_free_ char *text = NULL;
	struct error err;
	size_t size;

	if (exporter_scrape(exporter, &text, &size, &err) < 0) {
		error_add(&err, 0, "\n");
		return exporter_send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, err.text);
	}
	response = http.create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
	if (response)
		TAKE_PTR(text);
	return exporter_send_response(connection, MHD_HTTP_OK, TYPE_METRICS, response);
}

/* libmicrohttpd calls it once with the head of a request, when a response would close the
 * connection, then with each part of the body, and at last without one. */
static enum MHD_Result exporter_on_request(void *data, struct MHD_Connection *connection,
                                           const char *url, const char *method, const char *version,
                                           const char *body, size_t *body_size, void **state)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return exporter_send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
		                          "GET and HEAD only\n");
	if (!*state || *body_size) {
		*state = data;
		*body_size = 0;
		return MHD_YES;
	}
	if (!strcmp(url, "/metrics"))
		return exporter_send_metrics(data, connection);
	if (!strcmp(url, "/"))
		return exporter_send_text(connection, MHD_HTTP_OK, "reuseportd: see /metrics\n");
	return exporter_send_text(connection, MHD_HTTP_NOT_FOUND, "not found; see /metrics\n");
}

/* Binds @fd to the address and listens. */
static int exporter_listen_on(int fd, const struct rpd_endpoint *address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
	const bool is_v6 = address->family == AF_INET6;
	const int yes = 1;

	memcpy(&v4.sin_addr, address->addr, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, address->addr, sizeof(v6.sin6_addr));
	/* Allows the address while connections of an earlier exporter are in TIME_WAIT; another
	 * listener on it is still an error. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    (is_v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) < 0) ||
	    bind(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
	         is_v6 ? sizeof(v6) : sizeof(v4)) < 0 ||
	    listen(fd, EXPORTER_CONNECTIONS) < 0)
		return -errno;
	return 0;
}

int exporter_bind(struct exporter *exporter, const struct rpd_endpoint *address, struct error *err)
{
	_cleanup_close_ int fd =
	        socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char text[ENDPOINT_TEXT_MAX];
	int r = fd < 0 ? -errno : exporter_listen_on(fd, address);

	if (r < 0)
		return error_set(err, r, "can't serve the metrics on %s: %s",
		                 endpoint_format(address, text, sizeof(text)), strerror(-r));
	r = netns_open_current(&exporter->home, err);
	if (r == 0)
		exporter->listener = TAKE_FD(fd);
	return r;
}

int exporter_start(struct exporter *exporter, const char *service, struct error *err)
{
	sigset_t all, before;
	int r = http_library_load(err);

	if (r < 0)
		return r;
	exporter->service = service;
	/* The main thread waits for signals; this one must get none. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	exporter->server = http.start_daemon(
	        MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, exporter_on_request, exporter,
	        MHD_OPTION_LISTEN_SOCKET, exporter->listener, MHD_OPTION_CONNECTION_LIMIT,
	        EXPORTER_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, EXPORTER_IDLE_SECONDS,
	        MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!exporter->server)
		return error_set(err, -ENOMEM, "can't start the HTTP server");
	TAKE_FD(exporter->listener); /* the server closes it */
	return 0;
}

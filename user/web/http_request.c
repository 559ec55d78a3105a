/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/http_request.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "base/parse.h"
#include "core/service_name.h"
#include "kern/netns.h"
#include "service/drain_mark.h"
#include "view/event_view.h"
#include "web/http_response.h"

#define EVENTS_MAX 256 /* of an answer */

static const char *http_request_header(struct MHD_Connection *connection, const char *name)
{
	return http.lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result http_request_refuse(struct MHD_Connection *connection, unsigned int status,
                                           const char *text, const char *name, const char *value)
{
	struct MHD_Response *response = http_response_new_error(text);

	if (response && name)
		http.add_response_header(response, name, value);
	return http_response_send(connection, status, response);
}

/* --- looks */

static void http_request_look(struct http_server *server, const struct route *route,
                              const char *service, struct answer *answer, struct look *ret)
{
	struct error ignored;

	route->look(&server->settings->look, service[0] ? service : NULL, ret);
	/* Leaves the service's network namespace, so that this process does not keep it alive after
	 * its workers have ended. */
	netns_return(server->home, &ignored);
	*answer = (struct answer){
	        .route = route, .status = ret->status, .is_draining = ret->is_draining};
	strcpy(answer->service, service);
	if (route->kind == ROUTE_EVENTS && ret->status == MHD_HTTP_OK)
		answer->events = TAKE_PTR(ret->json);
	else
		answer->response = http_response_new_look(ret, route->type);
}

static enum MHD_Result http_request_send(struct MHD_Connection *connection,
                                         const struct answer *answer,
                                         const struct route_query *query)
{
	const unsigned int draining = query->draining && answer->is_draining ? query->draining : 0;
	struct json_object *events;
	struct MHD_Response *response;

	if (answer->response)
		return http.queue_response(connection, draining ? draining : answer->status,
		                           answer->response);
	if (!answer->events)
		return MHD_NO;
	events = event_view_after(answer->events, query->after, EVENTS_MAX);
	response = http_response_new_json(events);
	json_object_put(events);
	return http_response_send(connection, answer->status, response);
}

static enum MHD_Result http_request_show(struct http_server *server,
                                         struct MHD_Connection *connection,
                                         const struct route *route, const char *service,
                                         const struct route_query *query)
{
	const struct answer *kept, *old = NULL;
	struct answer answer;
	struct look look = {};
	enum MHD_Result r;

	answers_note_change(&server->answers, drain_mark_read_change());
	kept = answers_find(&server->answers, route, service, clock_ns(CLOCK_MONOTONIC));
	if (kept)
		return http_request_send(connection, kept, query);
	http_request_look(server, route, service, &answer, &look);
	if (look.is_busy)
		old = answers_find_old(&server->answers, route, service, clock_ns(CLOCK_MONOTONIC));
	r = http_request_send(connection, old ? old : &answer, query);
	if (old || look.no_service)
		answers_free_one(&answer);
	else
		answers_keep(&server->answers, &answer, clock_ns(CLOCK_MONOTONIC));
	look_free(&look);
	return r;
}

static enum MHD_Result http_request_show_file(struct MHD_Connection *connection,
                                              const struct route *route)
{
	const char *has = http_request_header(connection, MHD_HTTP_HEADER_IF_NONE_MATCH);
	const bool known = has && !strcmp(has, route->file->etag);

	return http_response_send(connection, known ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK,
	                          http_response_new_file(route->file, route->type, known));
}

static const char *http_request_argument(struct MHD_Connection *connection, const char *name)
{
	return http.lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

/* Takes what follows the path, if the route has it. */
static enum MHD_Result http_request_take_query(struct http_server *server,
                                               struct MHD_Connection *connection,
                                               struct route_found *found)
{
	const char *service = http_request_argument(connection, "service");
	struct route_query query = {.after = -1};
	const char *why = NULL;
	struct error err;

	if (found->route->look == look_ready && service) {
		if (service_name_check(service, &err) < 0)
			return http_request_refuse(connection, MHD_HTTP_BAD_REQUEST, err.text, NULL,
			                           NULL);
		strcpy(found->service, service);
	}
	if (found->route->look == look_ready &&
	    route_parse_draining(http_request_argument(connection, "draining"), &query.draining) <
	            0)
		why = "`draining` must be 404";
	if (found->route->kind == ROUTE_EVENTS &&
	    route_parse_after(http_request_argument(connection, "after"), &query.after) < 0)
		why = "`after` must be the seq of an event";
	if (why)
		return http_request_refuse(connection, MHD_HTTP_BAD_REQUEST, why, NULL, NULL);
	return http_request_show(server, connection, found->route, found->service, &query);
}

/* --- actions */

static struct http_client *http_request_peer(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	        http.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* Whether the client may act: sets @client->by. */
static bool http_request_may_act(const struct http_server *server,
                                 struct MHD_Connection *connection, struct action_client *client)
{
	const struct http_client *peer = http_request_peer(connection);

	if (guard_has_token(http_request_header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
	                    &server->settings->token))
		strcpy(client->by, "token");
	else if (peer && peer->is_root)
		strcpy(client->by, "uid 0");
	return client->by[0];
}

/* Why the head of a request for an action is refused: an HTTP status, or 0. */
static unsigned int http_request_check_head(struct MHD_Connection *connection, const char **ret)
{
	const char *length = http_request_header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
	long n;

	*ret = "an action needs Content-Type: application/json";
	if (!guard_is_json(http_request_header(connection, MHD_HTTP_HEADER_CONTENT_TYPE)))
		return MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
	*ret = "an action needs a Content-Length";
	if (!length || parse_long(length, 0, LONG_MAX, &n) < 0)
		return MHD_HTTP_LENGTH_REQUIRED;
	*ret = "the body of an action has at most 4096 bytes";
	return n > ACTIONS_BODY_MAX ? MHD_HTTP_CONTENT_TOO_LARGE : 0;
}

static enum MHD_Result http_request_begin_action(struct http_server *server,
                                                 struct MHD_Connection *connection,
                                                 const struct route_found *found, void **ret_state)
{
	const bool has_token = server->settings->token.text[0];
	struct action_client *client;
	unsigned int status;
	const char *why;

	if (!server->settings->act)
		return http_request_refuse(connection, MHD_HTTP_FORBIDDEN,
		                           "actions are off: `reuseportd web --admin` allows them",
		                           NULL, NULL);
	client = calloc(1, sizeof(*client));
	if (!client)
		return MHD_NO;
	if (!http_request_may_act(server, connection, client)) {
		free(client);
		return http_request_refuse(
		        connection, has_token ? MHD_HTTP_UNAUTHORIZED : MHD_HTTP_FORBIDDEN,
		        has_token ? "an action needs the token" : "only root may act",
		        has_token ? MHD_HTTP_HEADER_WWW_AUTHENTICATE : NULL, "Bearer");
	}
	status = http_request_check_head(connection, &why);
	if (status) {
		free(client);
		return http_request_refuse(connection, status, why, NULL, NULL);
	}
	client->route = found->route;
	client->connection = connection;
	memcpy(client->service, found->service, sizeof(client->service));
	*ret_state = client;
	return MHD_YES;
}

static enum MHD_Result http_request_answer_action(const struct action_client *client)
{
	struct MHD_Response *response;
	struct json_object *object;

	if (client->status != MHD_HTTP_OK)
		return http_request_refuse(client->connection, client->status,
		                           client->text ? client->text : "out of memory", NULL,
		                           NULL);
	object = json_build_new_object();
	json_build_text(object, "service", client->service);
	json_build_text(object, "action", request_action_name(client->route->action));
	json_build_text(object, "by", client->by);
	response = http_response_new_json(object);
	json_object_put(object);
	return http_response_send(client->connection, client->status, response);
}

enum MHD_Result http_request_continue(struct http_server *server, struct action_client *client,
                                      const char *body, size_t *n)
{
	if (*n > 0) {
		if (*n > sizeof(client->body) - client->n)
			return MHD_NO; /* the connection ends */
		memcpy(client->body + client->n, body, *n);
		client->n += *n;
		*n = 0;
		return MHD_YES;
	}
	if (!client->status) {
		struct http_client *peer = http_request_peer(client->connection);

		if (peer) /* the body may have come late */
			http_clients_note_request(peer, clock_ns(CLOCK_MONOTONIC));
		actions_ask(&server->actions, client);
	}
	return client->status ? http_request_answer_action(client) : MHD_YES;
}

/* --- all requests */

/* Programs send any Host, or none, for an open route. On a loopback address, it may be a browser
 * that was led there by a name of another site. */
static bool http_request_allows_host(const struct http_settings *settings,
                                     const struct route *route, const char *host)
{
	return (route->is_open && (!host || !endpoint_is_loopback(&settings->address.tcp))) ||
	       guard_allows_host(host, settings->host);
}

/* Sends a refusal, and returns true, if the client may not ask for this. */
static bool http_request_is_foreign(const struct http_server *server,
                                    struct MHD_Connection *connection, const struct route *route,
                                    enum MHD_Result *ret)
{
	const struct http_settings *settings = server->settings;
	const char *host = http_request_header(connection, MHD_HTTP_HEADER_HOST);

	if (!http_request_allows_host(settings, route, host)) {
		*ret = http_request_refuse(connection, MHD_HTTP_FORBIDDEN,
		                           "the header Host must have an IP address, localhost or "
		                           "the name that `web --host` allows",
		                           NULL, NULL);
		return true;
	}
	if (!guard_allows_origin(http_request_header(connection, MHD_HTTP_HEADER_ORIGIN), host)) {
		*ret = http_request_refuse(connection, MHD_HTTP_FORBIDDEN,
		                           "the page of another site has sent the request", NULL,
		                           NULL);
		return true;
	}
	if (route->kind == ROUTE_PAGE || route->is_open ||
	    http_address_is_local(&settings->address) ||
	    guard_has_token(http_request_header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
	                    &settings->token))
		return false;
	*ret = http_request_refuse(connection, MHD_HTTP_UNAUTHORIZED, "the token is needed",
	                           MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	return true;
}

static enum MHD_Result http_request_refuse_path(const struct http_server *server,
                                                struct MHD_Connection *connection,
                                                const struct route_found *found)
{
	if (found->allow)
		return http_request_refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
		                           "the path has another method", MHD_HTTP_HEADER_ALLOW,
		                           found->allow);
	return http_request_refuse(connection, MHD_HTTP_NOT_FOUND,
	                           server->settings->routes == route_all
	                                   ? "there is no such path; see /"
	                                   : "there is no such path; see /metrics",
	                           NULL, NULL);
}

enum MHD_Result http_request_begin(struct http_server *server, struct MHD_Connection *connection,
                                   const char *path, const char *method, void **ret_state)
{
	struct route_found found = route_find(server->settings->routes, method, path);
	enum MHD_Result r;

	if (!found.route)
		return http_request_refuse_path(server, connection, &found);
	if (http_request_is_foreign(server, connection, found.route, &r))
		return r;
	switch (found.route->kind) {
	case ROUTE_PAGE:
		return http_request_show_file(connection, found.route);
	case ROUTE_ACTION:
		return http_request_begin_action(server, connection, &found, ret_state);
	default:
		return http_request_take_query(server, connection, &found);
	}
}

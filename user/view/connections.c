/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/endpoint.h"
#include "view/view.h"

/* include/net/tcp_states.h of the kernel, by ss(8)'s names. */
static const char *connections_state_name(uint8_t state)
{
	static const char *const names[] = {
	        [1] = "established", [4] = "fin-wait-1", [5] = "fin-wait-2",
	        [8] = "close-wait",  [9] = "last-ack",   [11] = "closing",
	};

	return state < ARRAY_SIZE(names) && names[state] ? names[state] : "?";
}

/* An IPv4 client of an IPv6 listener is shown as what it is. */
static const char *connections_peer_text(const struct connection *c, char *buf, size_t size)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct rpd_endpoint peer = {.family = c->family, .port = c->peer_port};

	memcpy(peer.addr, c->peer, sizeof(peer.addr));
	if (c->family == AF_INET6 && !memcmp(c->peer, mapped, sizeof(mapped))) {
		peer.family = AF_INET;
		memcpy(peer.addr, c->peer + sizeof(mapped), 4);
	}
	return endpoint_format(&peer, buf, size);
}

static struct json_object *connections_row_view(const struct worker_connection *row,
                                                uint64_t now_ns)
{
	const struct connection *c = &row->connection;
	struct json_object *view = json_object_new_object();
	char peer[ENDPOINT_TEXT_MAX];

	json_object_object_add(view, "slot", row->slot < 0 ? NULL : json_object_new_int(row->slot));
	json_object_object_add(view, "former", json_object_new_boolean(row->former));
	json_object_object_add(
	        view, "peer", json_object_new_string(connections_peer_text(c, peer, sizeof(peer))));
	json_object_object_add(view, "state",
	                       json_object_new_string(connections_state_name(c->state)));
	json_object_object_add(view, "accepted", json_object_new_boolean(c->inode != 0));
	json_object_object_add(view, "age_seconds",
	                       c->since ? json_object_new_double((double)(now_ns - c->since) / 1e9)
	                                : NULL);
	json_object_object_add(view, "idle_seconds", json_object_new_double(c->idle_ms / 1e3));
	json_object_object_add(view, "bytes_in", json_object_new_int64(c->bytes_in));
	json_object_object_add(view, "bytes_out", json_object_new_int64(c->bytes_out));
	return view;
}

struct json_object *view_connections(const struct connections *connections)
{
	struct json_object *array = json_object_new_array();
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = 0; i < connections->n; i++)
		json_object_array_add(array, connections_row_view(&connections->rows[i], now));
	return array;
}

static void connections_format_bytes(struct json_object *value, char *buf, size_t size)
{
	static const char units[] = "BKMGTP";
	double n = json_object_get_int64(value);
	size_t unit = 0;

	for (; n >= 10000 && unit < sizeof(units) - 2; unit++)
		n /= 1024;
	snprintf(buf, size, "%.0f%c", n, units[unit]);
}

void view_connections_text(FILE *out, struct json_object *connections)
{
	static const struct column columns[] = {
	        {.title = "SLOT", .key = "slot"},
	        {.title = "PEER", .key = "peer"},
	        {.title = "STATE", .key = "state"},
	        {.title = "AGE", .key = "age_seconds", .format = format_age},
	        {.title = "IDLE", .key = "idle_seconds", .format = format_age},
	        {.title = "IN", .key = "bytes_in", .format = connections_format_bytes},
	        {.title = "OUT", .key = "bytes_out", .format = connections_format_bytes},
	        {.title = "FORMER", .key = "former"},
	};

	table_print(out, connections, columns, ARRAY_SIZE(columns));
}

struct json_object *view_empty(const char *service, const struct slots *slots,
                               const struct drain_wait_result *result)
{
	struct json_object *view = json_object_new_object();
	struct json_object *left = json_object_new_object();
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < slots->n; i++)
		json_object_array_add(array, json_object_new_int(slots->at[i]));
	json_object_object_add(left, "handshakes", json_object_new_int64(result->left.handshakes));
	json_object_object_add(left, "queued", json_object_new_int64(result->left.queued));
	json_object_object_add(left, "active", json_object_new_int64(result->left.active));
	json_object_object_add(left, "unattributed",
	                       json_object_new_int64(result->left.unattributed));
	json_object_object_add(view, "service", json_object_new_string(service));
	json_object_object_add(view, "slots", array);
	json_object_object_add(view, "empty", json_object_new_boolean(result->empty));
	json_object_object_add(view, "seconds", json_object_new_double(result->seconds));
	json_object_object_add(view, "closed", json_object_new_int64(result->n_closed));
	json_object_object_add(view, "left", left);
	json_object_object_add(view, "remaining", view_connections(&result->remaining));
	return view;
}

static bool connections_has_unknown(struct json_object *connections)
{
	for (size_t i = 0; i < json_object_array_length(connections); i++)
		if (!json_object_object_get(json_object_array_get_idx(connections, i), "slot"))
			return true;
	return false;
}

void view_empty_text(FILE *out, struct json_object *view)
{
	struct json_object *slots = json_object_object_get(view, "slots");
	struct json_object *left = json_object_object_get(view, "left");
	struct json_object *remaining = json_object_object_get(view, "remaining");
	int64_t closed = json_object_get_int64(json_object_object_get(view, "closed"));
	bool empty = json_object_get_boolean(json_object_object_get(view, "empty"));

	fprintf(out, "%s: slot%s", json_object_get_string(json_object_object_get(view, "service")),
	        json_object_array_length(slots) == 1 ? "" : "s");
	for (size_t i = 0; i < json_object_array_length(slots); i++)
		fprintf(out, " %d", json_object_get_int(json_object_array_get_idx(slots, i)));
	fprintf(out, " %s after %.1f s: %ld handshakes, %ld queued, %ld active",
	        empty ? "empty" : "not empty",
	        json_object_get_double(json_object_object_get(view, "seconds")),
	        json_object_get_int64(json_object_object_get(left, "handshakes")),
	        json_object_get_int64(json_object_object_get(left, "queued")),
	        json_object_get_int64(json_object_object_get(left, "active")));
	if (json_object_get_int64(json_object_object_get(left, "unattributed")))
		fprintf(out, ", %ld of an unknown worker",
		        json_object_get_int64(json_object_object_get(left, "unattributed")));
	fputc('\n', out);
	if (closed)
		fprintf(out, "%ld connection%s reset\n", closed, closed == 1 ? " was" : "s were");
	if (json_object_array_length(remaining) == 0)
		return;
	fprintf(out,
	        closed ? "\nWhen the time was over these were left:\n" : "\nThese are left:\n");
	view_connections_text(out, remaining);
	if (connections_has_unknown(remaining))
		fputs("Those of slot - are not touched, as it isn't known whose they are.\n", out);
}

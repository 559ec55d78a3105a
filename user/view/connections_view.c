/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/connections_view.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json_build.h"
#include "core/endpoint.h"
#include "view/table.h"

/* The states of the kernel's include/net/tcp_states.h, named as ss(8) names them. */
static const char *connections_view_state_name(uint8_t state)
{
	static const char *const names[] = {
	        [1] = "established", [4] = "fin-wait-1", [5] = "fin-wait-2",
	        [8] = "close-wait",  [9] = "last-ack",   [11] = "closing",
	};

	return state < ARRAY_SIZE(names) && names[state] ? names[state] : "?";
}

/* The client of an IPv6 listener may have an IPv4 address, mapped into IPv6: shows it as IPv4. */
static const char *connections_view_format_peer(const struct connection *c, char *buf, size_t size)
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

static void connections_view_fill_row(struct json_object *view, const struct worker_connection *row,
                                      uint64_t now_ns)
{
	const struct connection *c = &row->connection;
	char peer[ENDPOINT_TEXT_MAX];

	json_build_known(view, "slot", row->slot >= 0, row->slot);
	json_build_flag(view, "former", row->former);
	json_build_text(view, "peer", connections_view_format_peer(c, peer, sizeof(peer)));
	json_build_text(view, "state", connections_view_state_name(c->state));
	json_build_flag(view, "accepted", c->inode != 0);
	if (c->since)
		json_build_real(view, "age_seconds", (double)(now_ns - c->since) / NS_PER_S);
	else
		json_build_value(view, "age_seconds", NULL);
	json_build_real(view, "idle_seconds", c->idle_ms / 1e3);
	json_build_number(view, "bytes_in", c->bytes_in);
	json_build_number(view, "bytes_out", c->bytes_out);
}

struct json_object *connections_view_new(const struct connections *connections)
{
	struct json_object *view = json_build_new_array();
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = 0; i < connections->n; i++)
		connections_view_fill_row(json_build_row(view), &connections->rows[i], now);
	return view;
}

static void connections_view_format_bytes(struct json_object *value, char *buf, size_t size)
{
	static const char units[] = "BKMGTP";
	double n = json_object_get_int64(value);
	size_t unit = 0;

	for (; n >= 10000 && unit < sizeof(units) - 2; unit++)
		n /= 1024;
	snprintf(buf, size, "%.0f%c", n, units[unit]);
}

void connections_view_print(FILE *out, struct json_object *view)
{
	static const struct table_column columns[] = {
	        {.title = "SLOT", .key = "slot"},
	        {.title = "PEER", .key = "peer"},
	        {.title = "STATE", .key = "state"},
	        {.title = "AGE", .key = "age_seconds", .format = table_format_age},
	        {.title = "IDLE", .key = "idle_seconds", .format = table_format_age},
	        {.title = "IN", .key = "bytes_in", .format = connections_view_format_bytes},
	        {.title = "OUT", .key = "bytes_out", .format = connections_view_format_bytes},
	        {.title = "FORMER", .key = "former"},
	};

	table_print(out, view, columns, ARRAY_SIZE(columns));
}

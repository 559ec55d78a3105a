/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/http_bed.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/cgroup_bed.h"
#include "beds/run_client.h"
#include "core/schedule.h"
#include "core/schedule_edit.h"
#include "kern/own_listener.h"
#include "kern/steer_members.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/response_stats.h"
#include "service/responses.h"

static struct cgroup_bed cgroup = {.fd = -1};

static void http_bed_end_cgroup(void)
{
	cgroup_bed_end(&cgroup);
}

void http_bed_admit(unsigned int slot, int listener)
{
	struct rpd_schedule draft = *steer_schedule(&run_service.steer);
	struct rpd_member member = {.slot = (uint16_t)slot, .account = (uint16_t)slot};
	struct rpd_worker worker = {
	        .pid = (uint32_t)getpid(), .fd = listener, .epfd = -1, .account = (uint16_t)slot};
	struct steer *steer = &run_service.steer;
	struct error err;

	CHECK_EQ(schedule_edit_fill_slot(&draft, slot, RPD_FIRST_LABEL, &err), 0);
	member.version = draft.slots[slot].version;
	CHECK_EQ(steer_socks_put(steer, 0, slot, listener), 0);
	worker.cookies[0] = steer_socks_cookie(steer, 0, slot);
	CHECK_EQ(steer_workers_set(steer, slot, &worker), 0);
	CHECK_EQ(steer_members_set(steer, worker.cookies[0], &member), 0);
	CHECK_EQ(steer_attach(steer, 0, listener), 0);
	schedule_build(&draft);
	steer_switch(steer, &draft);
	steer->control->n_generations = 1;
}

void http_bed_begin(struct http_bed *ret, int family, bool v6only)
{
	struct error err;

	run_service_begin();
	check_at_end(http_bed_end_cgroup);
	cgroup = cgroup_bed_make();
	ret->cgroup = cgroup.fd;
	run_service_add(family, v6only, RUN_SERVICE_PORT, 0);
	ret->endpoint = *run_service_endpoint(0);
	ret->listener = own_listener_open(&ret->endpoint, ret->cgroup, &err);
	CHECK_MSG(ret->listener >= 0, "%s", err.text);
	http_bed_admit(0, ret->listener);
	CHECK_MSG(responses_begin(&run_service, ret->cgroup, &err) == 0, "%s", err.text);
}

struct http_pair http_bed_connect(const struct http_bed *bed, int family)
{
	struct rpd_endpoint to = bed->endpoint;
	struct pollfd poll_fd = {.fd = bed->listener, .events = POLLIN};
	struct http_pair pair;
	const int on = 1;

	to.family = family;
	pair.client = run_client_connect(&to);
	CHECK(pair.client >= 0);
	CHECK_EQ(poll(&poll_fd, 1, DEADLINE_S * 1000), 1);
	pair.server = accept4(bed->listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(pair.server >= 0);
	CHECK_EQ(setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	CHECK_EQ(setsockopt(pair.server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	return pair;
}

void http_bed_send(int from, int to, const void *data, size_t n)
{
	_cleanup_free_ char *got = malloc(n);
	size_t sent = 0, received = 0;

	CHECK(got);
	while (received < n) {
		struct pollfd poll_fd = {.fd = to, .events = POLLIN};
		ssize_t part;

		if (sent < n) {
			part = send(from, (const char *)data + sent, n - sent,
			            MSG_NOSIGNAL | MSG_DONTWAIT);
			CHECK(part > 0 || errno == EAGAIN);
			sent += part > 0 ? (size_t)part : 0;
		}
		CHECK_EQ(poll(&poll_fd, 1, DEADLINE_S * 1000), 1);
		part = recv(to, got + received, n - received, MSG_DONTWAIT);
		CHECK(part > 0);
		received += (size_t)part;
	}
	CHECK(!memcmp(data, got, n));
}

void http_bed_close(struct http_pair *pair)
{
	run_client_reset(pair->client);
	cleanup_close(&pair->server);
}

void http_bed_expect(const char *what, const unsigned int of[RESPONSE_CLASS_MAX],
                     unsigned int timed)
{
	struct response_count count;

	CHECK_EQ(response_stats_of_generation(&run_service, 0, &count, NULL), 0);
	for (unsigned int i = 0; i < RESPONSE_CLASS_MAX; i++)
		CHECK_MSG(count.of[i] == of[i], "%s: %llu %s, not %u", what,
		          (unsigned long long)count.of[i], response_count_class(i), of[i]);
	CHECK_MSG(response_count_timed(&count) == timed, "%s: %llu times, not %u", what,
	          (unsigned long long)response_count_timed(&count), timed);
}

void http_bed_end(struct http_bed *bed)
{
	cleanup_close(&bed->listener);
	bed->listener = -1;
}

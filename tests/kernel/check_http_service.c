/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/http, kern/cgroup_tree, service/responses and response_stats: when responses are counted,
 * for which version, and that nothing is left afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "beds/cgroup_bed.h"
#include "beds/http_bed.h"
#include "beds/run_client.h"
#include "beds/run_worker.h"
#include "check/check.h"
#include "core/schedule_edit.h"
#include "kern/cgroup_tree.h"
#include "kern/http.h"
#include "kern/own_listener.h"
#include "service/generation.h"
#include "service/observe.h"
#include "service/response_stats.h"
#include "service/responses.h"
#include "service/schedule_commit.h"
#include "service/service_lock.h"
#include "service/service_remove.h"
#include "service/slot_flip.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"

static void exchange(const struct http_pair *pair, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		http_bed_send(pair->client, pair->server, GET, sizeof(GET) - 1);
		http_bed_send(pair->server, pair->client, OK, sizeof(OK) - 1);
	}
}

static void visit(const struct http_bed *bed, unsigned int n)
{
	struct http_pair pair = http_bed_connect(bed, AF_INET);

	exchange(&pair, n);
	http_bed_close(&pair);
}

static unsigned long long of_version(const char *label)
{
	_cleanup_free_ struct version_responses *list = NULL;
	struct response_count count;
	size_t n;

	CHECK_EQ(response_stats_of_versions(&run_service, &list, &n), 0);
	count = response_stats_find(list, n, label);
	CHECK_EQ(response_count_timed(&count), response_count_final(&count));
	return count.of[2];
}

static unsigned long long of_generation(unsigned int generation)
{
	struct response_count count;

	CHECK_EQ(response_stats_of_generation(&run_service, generation, &count, NULL), 0);
	return count.of[2];
}

static unsigned long long of_worker(void)
{
	return of_generation(0);
}

/* How many programs are attached to the cgroup. */
static unsigned int attached(int cgroup)
{
	static const enum bpf_attach_type types[] = {BPF_CGROUP_INET_INGRESS,
	                                             BPF_CGROUP_INET_EGRESS};
	unsigned int sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		uint32_t ids[16], n = ARRAY_SIZE(ids);

		CHECK_EQ(bpf_prog_query(cgroup, types[i], 0, NULL, ids, &n), 0);
		sum += n;
	}
	return sum;
}

static bool is_pinned(const char *name)
{
	char path[PATH_MAX];

	return access(pins_path(&run_service.pins, name, path), F_OK) == 0;
}

static void counts_of_a_version_stay(void)
{
	_cleanup_http_bed_ struct http_bed bed;

	http_bed_begin(&bed, AF_INET, false);
	visit(&bed, 3);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 3);
	responses_set_version(&run_service, 0, RPD_FIRST_LABEL);
	CHECK_EQ(of_worker(), 3);
	responses_set_version(&run_service, 0, "v2");
	CHECK_EQ(of_worker(), 0);
	visit(&bed, 4);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 3);
	CHECK_EQ(of_version("v2"), 4);
	responses_set_version(&run_service, 0, RPD_FIRST_LABEL);
	visit(&bed, 5);
	CHECK_EQ(of_worker(), 5);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 8);
	CHECK_EQ(of_version("v2"), 4);
	CHECK_EQ(of_version("v3"), 0);
}

/* More versions than there is room for: those that no slot has are forgotten. */
static void many_versions(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	_cleanup_free_ struct version_responses *list = NULL;
	size_t n;
	char label[RPD_LABEL_MAX];

	http_bed_begin(&bed, AF_INET, false);
	visit(&bed, 2);
	for (unsigned int i = 0; i < 2 * RPD_VERSION_MAX; i++) {
		snprintf(label, sizeof(label), "old%u", i);
		responses_set_version(&run_service, 0, label);
	}
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 2);
	CHECK_EQ(response_stats_of_versions(&run_service, &list, &n), 0);
	CHECK_BETWEEN(n, RPD_VERSION_MAX, RPD_VERSION_MAX + 2);
}

static unsigned int count_rows(void)
{
	struct response_row row;
	uint32_t place = 0;
	unsigned int n = 0;
	int r;

	while ((r = http_next_row(&run_service.http, &place, &row)) == 0)
		n++;
	CHECK_EQ(r, -ENOENT);
	return n;
}

/* A worker that gets no place is not counted, until a row gives its place back. */
static void more_rows_than_places(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct response_row row;
	uint32_t key = 1;
	int r;

	http_bed_begin(&bed, AF_INET, false);
	responses_keep_past(&run_service, 0);
	while ((r = http_make_row(&run_service.http, key, "v2")) == 0)
		key++;
	CHECK_EQ(r, -ENOSPC);
	CHECK_EQ(count_rows(), RESPONSE_PLACES - 1);
	responses_set_version(&run_service, 0, RPD_FIRST_LABEL);
	visit(&bed, 2);
	CHECK_EQ(of_worker(), 0);
	CHECK_EQ(of_version("v2"), 0);
	CHECK_EQ(http_take_row(&run_service.http, 7, &row), 0);
	CHECK_EQ(http_get_row(&run_service.http, 7, &row), -ENOENT);
	CHECK_EQ(count_rows(), RESPONSE_PLACES - 2);
	responses_set_version(&run_service, 0, RPD_FIRST_LABEL);
	visit(&bed, 3);
	CHECK_EQ(of_worker(), 3);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 3);
	CHECK_EQ(of_version("v2"), 0);
	CHECK_EQ(http_make_row(&run_service.http, key, "v2"), -ENOSPC);
	CHECK_EQ(count_rows(), RESPONSE_PLACES - 1);
}

/* A search for a place in vain is not repeated, until the service is locked again: others may have
 * removed a row since. */
static void full_while_it_is_locked(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct service *locked;
	struct response_row row;
	struct error err;
	uint32_t key = 1;
	struct http other;

	http_bed_begin(&bed, AF_INET, false);
	while (http_make_row(&run_service.http, key, "v2") == 0)
		key++;
	http_init(&other);
	http_open(&other, &run_service.pins);
	CHECK_EQ(http_take_row(&other, 7, &row), 0);
	http_close(&other);
	CHECK_EQ(http_make_row(&run_service.http, key, "v2"), -ENOSPC);
	service_unlock(&run_service);
	CHECK_MSG(service_lock(&run_service, &locked, &err) >= 0, "%s", err.text);
	CHECK_EQ(http_make_row(&run_service.http, key, "v2"), 0);
	CHECK_EQ(http_make_row(&run_service.http, key + 1, "v2"), -ENOSPC);
}

static void label_changes_the_version(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	_cleanup_observed_ struct observed o = {};
	const struct slots slots = {.n = 1, .at = {0}};
	struct rpd_schedule draft;
	struct error err;

	http_bed_begin(&bed, AF_INET, false);
	visit(&bed, 2);
	CHECK_MSG(observe(&run_service, OBSERVE_KNOWN, &o, &err) >= 0, "%s", err.text);
	schedule_commit_begin(&run_service, &o, &draft);
	CHECK_EQ(schedule_edit_set_label(&draft, &slots, "next", &err), 0);
	CHECK_MSG(schedule_commit(&run_service, &o, &draft, true, "test", &err) == 0, "%s",
	          err.text);
	visit(&bed, 3);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 2);
	CHECK_EQ(of_version("next"), 3);
}

/* Its connections that are still open count for its version, also after it was replaced. */
static void former_worker_keeps_its_version(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct run_worker next;
	const struct slot_flip_change change = {0, &next.newcomer, "next"};
	struct http_pair pair;
	struct error err;

	http_bed_begin(&bed, AF_INET, false);
	pair = http_bed_connect(&bed, AF_INET);
	exchange(&pair, 2);
	run_worker_start(1, &next);
	CHECK_MSG(slot_flip(&run_service, &change, 1, NULL, 0, "test", &err) == 0, "%s", err.text);
	exchange(&pair, 3);
	CHECK_EQ(of_version("next"), 0);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 5);
	http_bed_close(&pair);
}

/* Its counts begin at 0, though the version is the same, and those of the version stay. */
static void generation_that_is_given_out_again(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	const struct rpd_worker former = {};
	const struct newcomer newcomer = {};
	const struct steer_members members = {};
	uint64_t open = 1;

	http_bed_begin(&bed, AF_INET, false);
	visit(&bed, 3);
	CHECK_UNTIL(generation_open_connections(&run_service, 0, &open) && !open);
	CHECK_EQ(generation_choose(&run_service, &members, 0, &former, &newcomer), 0);
	responses_set_version(&run_service, 0, RPD_FIRST_LABEL);
	CHECK_EQ(of_worker(), 0);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 3);
	visit(&bed, 2);
	CHECK_EQ(of_worker(), 2);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 5);
}

/* Its request came to the first worker, and the second one accepts it. */
static void connection_that_migrates(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct pollfd poll_fd = {.events = POLLIN};
	_cleanup_close_ int second = -1;
	struct http_pair pair;
	struct error err;
	char text[sizeof(GET)];

	http_bed_begin(&bed, AF_INET, false);
	pair.client = run_client_connect(&bed.endpoint);
	CHECK(pair.client >= 0);
	CHECK_EQ(send(pair.client, GET, sizeof(GET) - 1, MSG_NOSIGNAL), sizeof(GET) - 1);
	CHECK_UNTIL(own_listener_queue_length(bed.listener) == 1);
	second = own_listener_open(&bed.endpoint, bed.cgroup, &err);
	CHECK_MSG(second >= 0, "%s", err.text);
	http_bed_admit(1, second);
	responses_set_version(&run_service, 1, RPD_FIRST_LABEL);
	http_bed_end(&bed);
	poll_fd.fd = second;
	CHECK_EQ(poll(&poll_fd, 1, DEADLINE_S * 1000), 1);
	pair.server = accept4(second, NULL, NULL, SOCK_CLOEXEC);
	CHECK(pair.server >= 0);
	CHECK_EQ(recv(pair.server, text, sizeof(text), 0), sizeof(GET) - 1);
	http_bed_send(pair.server, pair.client, OK, sizeof(OK) - 1);
	exchange(&pair, 2);
	CHECK_EQ(of_generation(0), 0);
	CHECK_EQ(of_generation(1), 3);
	http_bed_close(&pair);
}

static void began_later_and_ended(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct http_pair pair;
	struct error err;

	http_bed_begin(&bed, AF_INET, false);
	CHECK_EQ(attached(bed.cgroup), 2);
	responses_end(&run_service);
	CHECK_EQ(attached(bed.cgroup), 0);
	CHECK(!response_stats_are_counted(&run_service));
	CHECK(!is_pinned("responses") && !is_pinned("requests"));
	CHECK(!is_pinned("http-in") && !is_pinned("http-out"));
	responses_end(&run_service);
	pair = http_bed_connect(&bed, AF_INET);
	exchange(&pair, 5);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 0);
	CHECK_EQ(responses_begin(&run_service, bed.cgroup, &err), 0);
	CHECK_EQ(responses_begin(&run_service, bed.cgroup, &err), 0);
	CHECK_EQ(attached(bed.cgroup), 2);
	exchange(&pair, 7);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 7);
	run_service_reopen();
	CHECK(response_stats_are_counted(&run_service));
	exchange(&pair, 1);
	CHECK_EQ(of_version(RPD_FIRST_LABEL), 8);
	http_bed_close(&pair);
}

static void half_made_is_removed(void)
{
	static const char *const pins[] = {"responses", "requests", "http-in", "http-out"};
	_cleanup_http_bed_ struct http_bed bed;
	struct error err;

	http_bed_begin(&bed, AF_INET, false);
	for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
		char path[PATH_MAX];

		CHECK_EQ(responses_begin(&run_service, bed.cgroup, &err), 0);
		CHECK_EQ(unlink(pins_path(&run_service.pins, pins[i], path)), 0);
		run_service_reopen();
		CHECK(!response_stats_are_counted(&run_service));
		CHECK(!is_pinned("responses") && !is_pinned("requests"));
		CHECK(!is_pinned("http-in") && !is_pinned("http-out"));
		/* The kernel ends a link some time after its last file is closed. */
		CHECK_UNTIL(attached(bed.cgroup) == 0);
	}
}

static void nothing_is_left_of_a_removed_service(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct error err;

	http_bed_begin(&bed, AF_INET, false);
	CHECK_MSG(service_remove(&run_service, false, NULL, &err) >= 0, "%s", err.text);
	service_close(&run_service);
	CHECK_EQ(attached(bed.cgroup), 0);
}

static void needs_the_counts_of_connections(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	struct error err;

	http_bed_begin(&bed, AF_INET, false);
	responses_end(&run_service);
	run_service.conns.counting = false;
	strcpy(run_service.conns.why, "for a reason");
	CHECK_EQ(responses_begin(&run_service, bed.cgroup, &err), -EOPNOTSUPP);
	CHECK_MSG(strstr(err.text, "for a reason"), "%s", err.text);
	CHECK_EQ(attached(bed.cgroup), 0);
}

/* The programs are attached twice for a moment: to a cgroup, and to one below it. */
static void moved_to_another_cgroup(void)
{
	_cleanup_http_bed_ struct http_bed bed;
	_cleanup_close_ int above = -1;
	struct http_pair pair;
	struct http copy;
	struct error err;

	http_bed_begin(&bed, AF_INET, false);
	above = openat(bed.cgroup, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(http_cgroup(&run_service.http), cgroup_id(bed.cgroup));
	pair = http_bed_connect(&bed, AF_INET);
	exchange(&pair, 3);
	http_init(&copy); /* keeps the former links */
	http_open(&copy, &run_service.pins);
	CHECK_EQ(http_move(&run_service.http, &run_service.pins, above, &err), 0);
	CHECK_EQ(http_cgroup(&run_service.http), cgroup_id(above));
	CHECK_EQ(attached(bed.cgroup), 2);
	exchange(&pair, 4);
	CHECK_EQ(of_worker(), 7);
	http_close(&copy);
	CHECK_UNTIL(attached(bed.cgroup) == 0);
	exchange(&pair, 5);
	CHECK_EQ(of_worker(), 12);
	run_service_reopen();
	CHECK(response_stats_are_counted(&run_service));
	CHECK_EQ(http_cgroup(&run_service.http), cgroup_id(above));
	http_bed_close(&pair);
}

static void cgroups_in_common(void)
{
	_cleanup_cgroup_bed_ struct cgroup_bed bed = cgroup_bed_make();
	_cleanup_close_ int a = cgroup_bed_worker(&bed, "a"), b = cgroup_bed_worker(&bed, "b");
	_cleanup_close_ int joined = -1;

	CHECK_EQ(cgroup_tree_join(&joined, cgroup_id(a)), 0);
	CHECK_EQ(cgroup_id(joined), cgroup_id(a));
	CHECK_EQ(cgroup_tree_join(&joined, cgroup_id(a)), 0);
	CHECK_EQ(cgroup_id(joined), cgroup_id(a));
	CHECK_EQ(cgroup_tree_join(&joined, cgroup_id(b)), 0);
	CHECK_EQ(cgroup_id(joined), cgroup_id(bed.fd));
	CHECK_EQ(cgroup_tree_join(&joined, cgroup_id(a)), 0);
	CHECK_EQ(cgroup_id(joined), cgroup_id(bed.fd));
	CHECK(cgroup_tree_join(&joined, 0xffffffffff) < 0);
	CHECK_EQ(cgroup_id(joined), cgroup_id(bed.fd));
	CHECK(cgroup_tree_open(0xffffffffff) < 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(counts_of_a_version_stay),
	        CHECK_CASE(many_versions),
	        CHECK_CASE(more_rows_than_places),
	        CHECK_CASE(full_while_it_is_locked),
	        CHECK_CASE(label_changes_the_version),
	        CHECK_CASE(former_worker_keeps_its_version),
	        CHECK_CASE(generation_that_is_given_out_again),
	        CHECK_CASE(connection_that_migrates),
	        CHECK_CASE(began_later_and_ended),
	        CHECK_CASE(half_made_is_removed),
	        CHECK_CASE(nothing_is_left_of_a_removed_service),
	        CHECK_CASE(needs_the_counts_of_connections),
	        CHECK_CASE(moved_to_another_cgroup),
	        CHECK_CASE(cgroups_in_common),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/responses.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/response_count.h"
#include "core/schedule_version.h"
#include "kern/cgroup.h"
#include "kern/cgroup_tree.h"
#include "kern/http.h"
#include "kern/steer_former.h"
#include "kern/steer_members.h"
#include "kern/steer_workers.h"
#include "service/run_dir.h"
#include "service/sockets.h"

/* --- which cgroup --- */

/* Makes *@fd a cgroup that has all listeners which are or were in slots. */
static int responses_join_listeners(const struct service *service, int *fd, struct error *err)
{
	_cleanup_free_ struct listener *list = NULL;
	uint64_t last = 0;
	size_t n;
	int r = sockets_listeners(service, &list, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct rpd_member member;

		if (!list[i].cgroup || list[i].cgroup == last ||
		    steer_members_get(&service->steer, list[i].cookie, &member) < 0)
			continue;
		r = cgroup_tree_join(fd, list[i].cgroup);
		if (r < 0)
			return error_set(err, r, "can't find the workers' cgroup: %s",
			                 strerror(-r));
		last = list[i].cgroup;
	}
	return *fd < 0 ? error_set(err, -ENOENT, "can't find the workers' cgroup") : 0;
}

static int responses_find_cgroup(const struct service *service, int *ret, struct error *err)
{
	char path[PATH_MAX];

	if (!service_is_run(service))
		return responses_join_listeners(service, ret, err);
	if (run_dir_cgroup(service->pins.service, path))
		*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? error_set(err, -ENOENT, "can't find the service's cgroup") : 0;
}

/* --- versions --- */

/* The row of past responses of a version: its own one, else a free one, else that of a version that
 * no slot has. */
static uint32_t responses_find_past(const struct service *service, const char *label)
{
	const struct rpd_schedule *schedule = steer_schedule(&service->steer);
	uint32_t unused = RPD_ACCOUNT_MAX;

	for (uint32_t key = RPD_ACCOUNT_MAX; key < RESPONSE_ROWS_MAX; key++) {
		struct response_row row;

		if (http_get_row(&service->http, key, &row) < 0 ||
		    !strcmp(row.responses.label, label))
			return key;
		if (schedule_version_find(schedule, row.responses.label) < 0)
			unused = key;
	}
	return unused;
}

static void responses_add_past(struct service *service, const struct response_row *row)
{
	const uint32_t key = responses_find_past(service, row->responses.label);
	struct response_row past;

	if (http_get_row(&service->http, key, &past) < 0 ||
	    strcmp(past.responses.label, row->responses.label) != 0) {
		if (http_make_row(&service->http, key, row->responses.label) == 0)
			http_set_row(&service->http, key, row);
		return;
	}
	for (unsigned int i = 0; i < RESPONSE_CLASS_MAX; i++)
		past.responses.of[i] += row->responses.of[i];
	for (unsigned int i = 0; i < RESPONSE_BUCKETS; i++)
		past.responses.times[i] += row->responses.times[i];
	past.responses.time_ns += row->responses.time_ns;
	past.requests.asked += row->requests.asked;
	past.requests.late += response_count_unanswered(&row->requests, RESPONSE_COUNT_EVER);
	http_set_row(&service->http, key, &past);
}

/* The row is removed before its counts are added to others: a kill in between loses them, rather
 * than to count them twice. */
void responses_keep_past(struct service *service, uint16_t generation)
{
	struct response_row row;

	if (service->http.counting && http_take_row(&service->http, generation, &row) == 0)
		responses_add_past(service, &row);
}

void responses_set_version(struct service *service, uint16_t generation, const char *label)
{
	struct response_row row;

	if (!service->http.counting || generation > RPD_ACCOUNT_UNKNOWN)
		return;
	if (http_get_row(&service->http, generation, &row) == 0) {
		if (!strcmp(row.responses.label, label))
			return;
		responses_keep_past(service, generation);
	}
	http_make_row(&service->http, generation, label);
}

void responses_set_versions(struct service *service, const struct rpd_schedule *schedule)
{
	const struct rpd_schedule *in_force = steer_schedule(&service->steer);

	for (unsigned int slot = 0; service->http.counting && slot < schedule->n_slots; slot++) {
		const uint32_t changes = in_force->slots[slot].flags ^ schedule->slots[slot].flags;
		struct rpd_worker worker;

		/* Until @schedule is in force, the slot's row is that of the former worker. */
		if (changes & RPD_SLOT_SECOND)
			continue;
		if (steer_workers_get(&service->steer, slot, &worker) == 0 && worker.pid)
			responses_set_version(
			        service, worker.account,
			        schedule->versions[schedule->slots[slot].version].label);
	}
}

static void responses_set_former_versions(struct service *service)
{
	struct rpd_former former;
	uint32_t number;
	int r = steer_former_next(&service->steer, NULL, &number);

	for (unsigned int i = 0; r == 0 && i < RPD_FORMER_MAX; i++) {
		if (steer_former_get(&service->steer, number, &former) == 0)
			responses_set_version(service, former.account, former.label);
		r = steer_former_next(&service->steer, &number, &number);
	}
}

/* --- begin and end --- */

int responses_begin(struct service *service, int cgroup, struct error *err)
{
	_cleanup_close_ int found = -1;
	int r = 0;

	if (service->http.counting)
		return 0;
	if (!service->conns.counting)
		return error_set(err, -EOPNOTSUPP,
		                 "can't count HTTP responses, because the service's connections "
		                 "are not counted: %s",
		                 service->conns.why);
	if (cgroup < 0)
		r = responses_find_cgroup(service, &found, err);
	if (r == 0)
		r = http_attach(&service->http, &service->steer, cgroup < 0 ? found : cgroup, err);
	if (r < 0)
		return r;
	responses_set_version(service, RPD_ACCOUNT_UNKNOWN, "");
	responses_set_former_versions(service);
	responses_set_versions(service, steer_schedule(&service->steer));
	r = http_pin_missing(&service->http, &service->pins);
	if (r < 0) {
		responses_end(service);
		return error_set(err, r, "can't pin the programs that count HTTP responses: %s",
		                 strerror(-r));
	}
	return 0;
}

void responses_cover(struct service *service)
{
	_cleanup_close_ int fd = -1;
	struct error ignored;
	uint64_t is;

	if (!service->http.counting || service_is_run(service))
		return;
	is = http_cgroup(&service->http);
	if (is)
		fd = cgroup_tree_open(is);
	if (responses_join_listeners(service, &fd, &ignored) == 0 && cgroup_id(fd) != is)
		http_move(&service->http, &service->pins, fd, &ignored);
}

void responses_end(struct service *service)
{
	http_detach(&service->http, &service->pins);
}

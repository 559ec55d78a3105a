/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/response_stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/connection_rate.h"
#include "kern/http.h"

bool response_stats_are_counted(const struct service *service)
{
	return service->http.counting;
}

int response_stats_of_generation(const struct service *service, uint16_t generation,
                                 struct response_count *ret, double *ret_rate)
{
	struct response_row row = {};
	uint32_t seconds[RPD_RATE_SECONDS - 1] = {};
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	int r = service->http.counting ? http_get_row(&service->http, generation, &row) : 0;

	if (r < 0 && r != -ENOENT)
		return r;
	*ret = response_count_of(&row, now);
	connection_rate_add(&row.responses.rate, now / NS_PER_S, seconds);
	if (ret_rate)
		*ret_rate = connection_rate_mean(seconds);
	return 0;
}

/* Adds a row to the counts of its version, which has room in @list. */
static void response_stats_add(struct version_responses *list, size_t *n,
                               const struct response_row *row, int64_t now)
{
	const struct response_count count = response_count_of(row, now);
	size_t i = 0;

	while (i < *n && strcmp(list[i].label, row->responses.label) != 0)
		i++;
	if (i == *n) {
		list[i] = (struct version_responses){};
		memcpy(list[i].label, row->responses.label, sizeof(list[i].label));
		(*n)++;
	}
	response_count_add(&list[i].count, &count);
}

int response_stats_of_versions(const struct service *service, struct version_responses **ret,
                               size_t *ret_n)
{
	_cleanup_free_ struct version_responses *list = NULL;
	const int64_t now = clock_ns(CLOCK_MONOTONIC);
	size_t n = 0, allocated = 0;
	struct response_row row;
	uint32_t place = 0;
	int r = -ENOENT;

	while (service->http.counting && (r = http_next_row(&service->http, &place, &row)) == 0) {
		if (n == allocated) {
			struct version_responses *more;

			allocated = allocated ? 2 * allocated : 4;
			more = realloc(list, allocated * sizeof(*list));
			if (!more)
				return -ENOMEM;
			list = more;
		}
		response_stats_add(list, &n, &row, now);
	}
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

struct response_count response_stats_find(const struct version_responses *list, size_t n,
                                          const char *label)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].label, label))
			return list[i].count;
	return (struct response_count){};
}

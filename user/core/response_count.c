/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/response_count.h"

#include <string.h>

const char *response_count_class(unsigned int class)
{
	static const char *const names[RESPONSE_CLASS_MAX] = {
	        [RESPONSE_UNKNOWN] = "unknown", "1xx", "2xx", "3xx", "4xx", "5xx",
	};

	return names[class];
}

uint64_t response_count_unanswered(const struct rpd_requests *row, int64_t now)
{
	uint64_t n = row->late;

	for (unsigned int i = 0; i < RESPONSE_DUE_TICKS; i++)
		if ((row->due[i] >> 32) + RESPONSE_LATE_TICKS < (uint64_t)now >> RESPONSE_TICK_LOG)
			n += (uint32_t)row->due[i];
	return n;
}

struct response_count response_count_of(const struct response_row *row, int64_t now)
{
	struct response_count count = {
	        .time_ns = row->responses.time_ns,
	        .asked = row->requests.asked,
	        .unanswered = response_count_unanswered(&row->requests, now),
	};

	memcpy(count.of, row->responses.of, sizeof(count.of));
	memcpy(count.times, row->responses.times, sizeof(count.times));
	return count;
}

void response_count_add(struct response_count *count, const struct response_count *other)
{
	for (unsigned int i = 0; i < RESPONSE_CLASS_MAX; i++)
		count->of[i] += other->of[i];
	for (unsigned int i = 0; i < RESPONSE_BUCKETS; i++)
		count->times[i] += other->times[i];
	count->time_ns += other->time_ns;
	count->asked += other->asked;
	count->unanswered += other->unanswered;
}

uint64_t response_count_final(const struct response_count *count)
{
	return count->of[RESPONSE_UNKNOWN] + response_count_known(count);
}

uint64_t response_count_known(const struct response_count *count)
{
	uint64_t n = 0;

	for (unsigned int i = 2; i < RESPONSE_CLASS_MAX; i++)
		n += count->of[i];
	return n;
}

uint64_t response_count_slower(const struct response_count *count, unsigned int bucket)
{
	uint64_t n = 0;

	for (unsigned int i = bucket; i < RESPONSE_BUCKETS; i++)
		n += count->times[i];
	return n;
}

uint64_t response_count_timed(const struct response_count *count)
{
	return response_count_slower(count, 0);
}

uint64_t response_count_bound_ns(unsigned int step)
{
	return 1ull << (RESPONSE_STEP_FIRST_LOG + step);
}

uint64_t response_count_below(const struct response_count *count, unsigned int step)
{
	const unsigned int log = RESPONSE_STEP_FIRST_LOG + step;

	return response_count_timed(count) -
	       response_count_slower(count, (log - RESPONSE_SHORTEST_LOG) * RESPONSE_OCTAVE);
}

int response_count_quantile_bucket(const struct response_count *count, unsigned int permille)
{
	const uint64_t n = response_count_timed(count);
	uint64_t below = 0, wanted = (n * permille + 999) / 1000;

	if (!wanted)
		wanted = 1;
	for (int i = 0; n && i < RESPONSE_BUCKETS; i++) {
		below += count->times[i];
		if (below >= wanted)
			return i;
	}
	return -1;
}

uint64_t response_count_quantile(const struct response_count *count, unsigned int permille)
{
	const int bucket = response_count_quantile_bucket(count, permille);

	return bucket < 0 ? 0 : response_bucket_floor((uint32_t)bucket + 1);
}

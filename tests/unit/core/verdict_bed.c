/* SPDX-License-Identifier: BSD-2-Clause */
#include "verdict_bed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bed/seed.h"

const struct verdict_rules verdict_bed_rules = {
        .tolerate = 150,
        .confidence = 990,
        .min_samples = 100,
        .http = 1,
};

unsigned int verdict_bed_runs(unsigned int few, unsigned int many)
{
	return getenv("RPD_FULL") ? many : few;
}

double verdict_bed_random(void)
{
	return seed_word() * 0x1p-32;
}

unsigned int verdict_bed_draw(unsigned int n, double probability)
{
	unsigned int drawn = 0;

	if (probability > 0)
		for (unsigned int i = 0; i < n; i++)
			drawn += verdict_bed_random() < probability;
	return drawn;
}

static void verdict_bed_add_count(struct verdict_count *count, unsigned int n, unsigned int bad)
{
	count->n += n;
	count->bad += bad;
}

void verdict_bed_add(struct verdict_pair *pair, unsigned int new_n, unsigned int new_bad,
                     unsigned int old_n, unsigned int old_bad)
{
	verdict_bed_add_count(&pair->new, new_n, new_bad);
	verdict_bed_add_count(&pair->old, old_n, old_bad);
}

/* Times from 1 ms on, with a long tail: p50 is 2 ms, p90 10 ms, p99 100 ms. */
static void verdict_bed_respond(const struct verdict_bed_version *version, unsigned int n,
                                uint64_t *times)
{
	for (unsigned int i = 0; i < n; i++) {
		double us = 1000 / (1 - verdict_bed_random());

		if (version->tail > 0)
			us = fmin(us, 100000) * (us > 10000 ? version->tail : 1);
		us *= version->times > 0 ? version->times : 1;
		us += version->slow > 0 && verdict_bed_random() < version->slow ? version->slower_us
		                                                                : 0;
		times[response_bucket((uint64_t)(us * 1000))]++;
	}
}

static void verdict_bed_count_times(struct verdict_bed_deployment *d)
{
	for (unsigned int i = 0; i < 3; i++)
		latency_baseline_count(&d->baselines[i], d->new_times, d->old_times,
		                       &d->counts.of[VERDICT_SLOW_P50 + i]);
}

void verdict_bed_traffic(struct verdict_bed_deployment *d, unsigned int permille)
{
	const unsigned int before = d->requests;
	const struct verdict_pair *all = &d->counts.of[VERDICT_RESETS];
	const unsigned int turns = (unsigned int)(all->new.n + all->old.n);
	const unsigned int n_new =
	        (turns + d->connections) * permille / 1000 - turns * permille / 1000;
	const unsigned int n_old = d->connections - n_new;

	d->requests = before + n_new;
	verdict_bed_add(&d->counts.of[VERDICT_RESETS], n_new,
	                verdict_bed_draw(n_new, d->new.resets), n_old,
	                verdict_bed_draw(n_old, d->old.resets));
	verdict_bed_add(&d->counts.of[VERDICT_UNANSWERED], n_new,
	                verdict_bed_draw(n_new, d->new.unanswered), n_old,
	                verdict_bed_draw(n_old, d->old.unanswered));
	verdict_bed_add(&d->counts.of[VERDICT_HTTP_5XX], n_new,
	                verdict_bed_draw(n_new, d->new.errors), n_old,
	                verdict_bed_draw(n_old, d->old.errors));
	verdict_bed_respond(&d->new, n_new, d->new_times);
	verdict_bed_respond(&d->old, n_old, d->old_times);
	verdict_bed_count_times(d);
}

void verdict_bed_begin(struct verdict_bed_deployment *d, const struct verdict_bed_version *new,
                       const struct verdict_bed_version *old, unsigned int connections)
{
	memset(d, 0, sizeof(*d));
	d->new = *new;
	d->old = *old;
	d->connections = connections;
	verdict_begin(&d->state, &verdict_bed_rules);
	verdict_bed_respond(old, 2000, d->old_times); /* before the deployment */
}

void verdict_bed_begin_step(struct verdict_bed_deployment *d, unsigned int permille)
{
	static const unsigned int percents[] = {50, 90, 99};

	for (unsigned int i = 0; i < 3; i++)
		latency_baseline_begin(&d->baselines[i], percents[i], verdict_bed_rules.tolerate);
	verdict_bed_count_times(d);
	verdict_step(&d->state, permille, &d->counts);
}

enum verdict_answer verdict_bed_look(struct verdict_bed_deployment *d, unsigned int permille,
                                     enum verdict_time time)
{
	verdict_bed_traffic(d, permille);
	return verdict_look(&d->state, &d->counts, time);
}

enum verdict_answer verdict_bed_step(struct verdict_bed_deployment *d, unsigned int permille,
                                     unsigned int looks)
{
	enum verdict_answer answer = VERDICT_NOT_YET;

	verdict_bed_begin_step(d, permille);
	for (unsigned int look = 0; look < looks && answer == VERDICT_NOT_YET; look++)
		answer = verdict_bed_look(d, permille,
		                          look + 1 < looks ? VERDICT_EARLY : VERDICT_TIME_OVER);
	return answer;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deploys a version on one host, again and again, with random traffic: for tools/fleet/simulate.
 * The steps, the times and the verdict are those of reuseportd, with its default settings.
 *
 *	RPD_SEED=N fleet_deployments RUNS WORKERS CONNECTIONS OLD NEW
 *
 * CONNECTIONS come in a second, with a response each. OLD and NEW: how many of a million responses
 * of each version are errors. A line for each run: the answer ("good", "bad", or "inconclusive": a
 * person has to decide), the seconds until then, and the responses and errors of the new version.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bed/seed.h"
#include "core/rollout_steps.h"
#include "core/verdict_bed.h"

struct plan {
	unsigned int workers, connections;
	struct verdict_bed_version old, new;
	struct deploy_settings settings;
	size_t n_steps;
	struct rollout_step steps[ROLLOUT_STEPS_MAX];
};

/* Adds the seconds of the step to *@seconds. */
static enum verdict_answer judge_step(struct verdict_bed_deployment *d, const struct plan *plan,
                                      const struct rollout_step *step, unsigned int *seconds)
{
	const int64_t warm_up = plan->settings.warm_up, end = step->time,
	              late = end + plan->settings.step_deadline;
	enum verdict_answer answer = VERDICT_NOT_YET;

	for (int64_t now = 0; now <= late && answer == VERDICT_NOT_YET; now += NS_PER_S) {
		if (now == warm_up)
			verdict_bed_begin_step(d, step->permille);
		if (now < warm_up)
			verdict_bed_traffic(d, step->permille);
		else
			answer = verdict_bed_look(d, step->permille,
			                          now < end    ? VERDICT_EARLY
			                          : now < late ? VERDICT_TIME_OVER
			                                       : VERDICT_LATE);
		++*seconds;
	}
	return answer;
}

static void deploy(const struct plan *plan)
{
	struct verdict_bed_deployment d;
	enum verdict_answer answer = VERDICT_GOOD;
	unsigned int seconds = 0;

	verdict_bed_begin(&d, &plan->new, &plan->old, plan->connections);
	for (size_t i = 0; i < plan->n_steps && answer == VERDICT_GOOD; i++)
		if (plan->steps[i].permille) /* the last step, of all workers, is not judged */
			answer = judge_step(&d, plan, &plan->steps[i], &seconds);
	printf("%s %u %u %llu\n", verdict_answer_name(answer), seconds, d.requests,
	       (unsigned long long)d.counts.of[VERDICT_HTTP_5XX].new.bad);
}

static unsigned int number(const char *text)
{
	char *end;
	const unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || value > 1000000)
		errx(2, "%s: not a number from 0 to 1000000", text);
	return (unsigned int)value;
}

int main(int argc, char **argv)
{
	struct plan plan = {};
	struct rollout_shares shares;

	if (argc != 6)
		errx(2, "usage: fleet_deployments RUNS WORKERS CONNECTIONS OLD NEW");
	plan.workers = number(argv[2]);
	plan.connections = number(argv[3]);
	plan.old.errors = number(argv[4]) / 1e6;
	plan.new.errors = number(argv[5]) / 1e6;
	deploy_settings_init(&plan.settings);
	if (rollout_steps_parse(plan.settings.steps, &shares, NULL) < 0)
		errx(1, "steps '%s'", plan.settings.steps);
	plan.n_steps = rollout_steps_plan(DEPLOY_CANARY, &shares, plan.workers, plan.steps);
	seed_start("traffic");
	for (unsigned int run = 0; run < number(argv[1]); run++)
		deploy(&plan);
	return 0;
}

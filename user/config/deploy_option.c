/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/deploy_option.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "core/client_net.h"
#include "core/rollout_steps.h"

int deploy_option_set_strategy(void *member, const struct option_setting *setting,
                               struct error *err)
{
	enum deploy_strategy *strategy = member;

	if (deploy_settings_parse_strategy(setting->value, strategy) < 0)
		return error_usage(err, "'%s' is not a strategy: " DEPLOY_STRATEGY_NAMES,
		                   setting->value);
	return 0;
}

int deploy_option_set_steps(void *member, const struct option_setting *setting, struct error *err)
{
	struct rollout_shares shares;
	int r;

	if (strlen(setting->value) >= DEPLOY_STEPS_MAX)
		return error_usage(err, "has more than %d characters", DEPLOY_STEPS_MAX - 1);
	r = rollout_steps_parse(setting->value, &shares, err);
	if (r == 0)
		strcpy(member, setting->value);
	return r;
}

int deploy_option_set_command(void *member, const struct option_setting *setting, struct error *err)
{
	static const char kind[] = "exec:";
	const char *command = setting->value + strlen(kind);

	if (strncmp(setting->value, kind, strlen(kind)) != 0 || !*command ||
	    strlen(command) >= DEPLOY_COMMAND_MAX)
		return error_usage(err,
		                   "'%s' is not exec:COMMAND, with a command of at most %d bytes",
		                   setting->value, DEPLOY_COMMAND_MAX - 1);
	strcpy(member, command);
	return 0;
}

int deploy_option_add_ignored(void *member, const struct option_setting *setting, struct error *err)
{
	struct rpd_ignored *ignore = member;
	struct rpd_net net;

	if (client_net_parse(setting->value, &net) < 0)
		return error_usage(err, "'%s' is not an address, or a network such as 10.0.0.0/8",
		                   setting->value);
	if (ignore->n == RPD_IGNORED_MAX)
		return error_usage(err, "there are more than %d", RPD_IGNORED_MAX);
	ignore->nets[ignore->n++] = net;
	return 0;
}

/* A factor from 1.0 to 100.0, in steps of 0.1. */
int deploy_option_set_tolerate(void *member, const struct option_setting *setting,
                               struct error *err)
{
	unsigned int *hundredths = member;
	long tenths;

	if (strchr(setting->value, '%') || parse_tenths(setting->value, 10, 1000, &tenths) < 0)
		return error_usage(err, "'%s' is not a factor from 1 to 100 in steps of 0.1",
		                   setting->value);
	*hundredths = 10 * tenths;
	return 0;
}

int deploy_option_set_rate(void *member, const struct option_setting *setting, struct error *err)
{
	unsigned int *permille = member;
	long tenths;

	if (parse_tenths(setting->value, 1, 999, &tenths) < 0)
		return error_usage(err, "'%s' is not a percentage from 0.1 to 99.9 in steps of 0.1",
		                   setting->value);
	*permille = tenths;
	return 0;
}

/* 0 would be taken for both "at once" and "for ever". */
int deploy_option_set_keep_new(void *member, const struct option_setting *setting,
                               struct error *err)
{
	int64_t *time = member;

	if (strcmp(setting->value, "for-ever") != 0)
		return option_set_time(member, setting, err);
	*time = DEPLOY_FOR_EVER;
	return 0;
}

#define DEPLOY_OPTION_DIRECT(setter, member) setter, offsetof(struct deploy_settings, member)

const struct option_row deploy_options[] = {DEPLOY_OPTIONS(DEPLOY_OPTION_DIRECT), {0}};

static int deploy_option_apply_word(struct deploy_settings *settings, const char *word,
                                    struct error *err)
{
	_cleanup_free_ char *name = strdup(word);
	char *value = name ? strchr(name, '=') : NULL;
	const struct option_row *row;

	if (!name)
		return error_set(err, -ENOMEM, "out of memory");
	if (value)
		*value++ = '\0';
	row = option_find(deploy_options, name);
	if (!row)
		return error_usage(err, "%s: there is no such setting of a deployment", name);
	if (row->argument && !value)
		return error_usage(err, "%s: needs a value", name);
	return option_set(row, settings, value, 0, err);
}

int deploy_option_apply(struct deploy_settings *settings, char *const *words, struct error *err)
{
	int r = 0;

	for (; words && *words && r == 0; words++)
		r = deploy_option_apply_word(settings, *words, err);
	return r;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/parse.h"
#include "base/signal_name.h"
#include "base/strv.h"
#include "core/endpoint.h"
#include "core/http_address.h"
#include "core/policy.h"

size_t option_count(const struct option_row *table)
{
	size_t n = 0;

	while (table[n].name)
		n++;
	return n;
}

const struct option_row *option_find(const struct option_row *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(name, table->name))
			return table;
	return NULL;
}

static const char *option_name_at(const void *table, size_t i)
{
	return ((const struct option_row *)table)[i].name;
}

const char *option_nearest(const struct option_row *table, const char *name)
{
	return nearest_find(name, option_name_at, table, option_count(table));
}

int option_set(const struct option_row *row, void *target, const char *value, unsigned int n_cpus,
               struct error *err)
{
	const struct option_setting setting = {.row = row, .value = value, .n_cpus = n_cpus};
	struct error why = {};
	int r;

	if (row->argument && !value)
		return error_usage(err, "%s: the value %s is missing", row->name, row->argument);
	r = row->set((char *)target + row->at, &setting, &why);
	if (r == -ENOMEM)
		return error_set(err, r, "%s: out of memory", row->name);
	return r < 0 ? error_usage(err, "%s: %s", row->name, why.text) : 0;
}

int option_set_text(void *member, const struct option_setting *setting, struct error *err)
{
	char **text = member, *copy;

	if (!*setting->value)
		return error_usage(err, "the value is empty");
	copy = strdup(setting->value);
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

int option_set_borrowed(void *member, const struct option_setting *setting, struct error *err)
{
	*(const char **)member = setting->value;
	return 0;
}

int option_set_list(void *member, const struct option_setting *setting, struct error *err)
{
	if (!*setting->value)
		return error_usage(err, "the value is empty");
	return strv_append(member, setting->value);
}

int option_set_flag(void *member, const struct option_setting *setting, struct error *err)
{
	bool on = true;

	if (setting->value && parse_bool(setting->value, &on) < 0)
		return error_usage(err, "'%s' is neither yes nor no", setting->value);
	*(bool *)member = on;
	return 0;
}

int option_parse_time(const char *text, int64_t *ret, struct error *err)
{
	const int r = parse_duration(text, ret);

	if (r == PARSE_TOO_LARGE)
		return error_usage(err, "'%s' is longer than a year", text);
	if (r < 0)
		return error_usage(
		        err, "'%s' is not a time such as 30s, 1500ms, 2m or 30 (seconds)", text);
	return 0;
}

int option_set_time(void *member, const struct option_setting *setting, struct error *err)
{
	return option_parse_time(setting->value, member, err);
}

int option_set_number(void *member, const struct option_setting *setting, struct error *err)
{
	long n;

	if (parse_long(setting->value, setting->row->min, setting->row->max, &n) < 0)
		return error_usage(err, "'%s' is not a number from %ld to %ld", setting->value,
		                   setting->row->min, setting->row->max);
	*(unsigned int *)member = n;
	return 0;
}

int option_set_size(void *member, const struct option_setting *setting, struct error *err)
{
	if (parse_size(setting->value, member) < 0)
		return error_usage(err, "'%s' is not a size such as 300M or 2G", setting->value);
	return 0;
}

int option_set_signal(void *member, const struct option_setting *setting, struct error *err)
{
	if (signal_name_parse(setting->value, member) < 0)
		return error_usage(err, "'%s' is not a signal such as SIGTERM, INT or 15",
		                   setting->value);
	return 0;
}

int option_set_endpoint(void *member, const struct option_setting *setting, struct error *err)
{
	if (endpoint_parse(setting->value, member) < 0)
		return error_usage(err,
		                   "'%s' is not an address with a port, such as 127.0.0.1:9464 or "
		                   "[::1]:9464",
		                   setting->value);
	return 0;
}

int option_set_http_address(void *member, const struct option_setting *setting, struct error *err)
{
	return http_address_parse(setting->value, member, err);
}

int option_set_http_text(void *member, const struct option_setting *setting, struct error *err)
{
	struct http_address address;
	int r = http_address_parse(setting->value, &address, err);

	return r < 0 ? r : option_set_text(member, setting, err);
}

int option_set_policy(void *member, const struct option_setting *setting, struct error *err)
{
	if (policy_parse(setting->value, member) < 0)
		return error_usage(err, "'%s' is not " POLICY_NAMES, setting->value);
	return 0;
}

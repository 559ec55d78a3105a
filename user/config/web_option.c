/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/web_option.h"

#include <reuseportd/abi.h>

#include "core/min_live.h"

int web_option_set_min_live(void *member, const struct option_setting *setting, struct error *err)
{
	struct min_live ignored;
	int r = min_live_parse(setting->value, &ignored, err);

	return r < 0 ? r : option_set_borrowed(member, setting, err);
}

int web_option_set_min_live_text(void *member, const struct option_setting *setting,
                                 struct error *err)
{
	struct min_live ignored;
	int r = min_live_parse(setting->value, &ignored, err);

	return r < 0 ? r : option_set_text(member, setting, err);
}

int web_option_set_agent_text(void *member, const struct option_setting *setting, struct error *err)
{
	struct rpd_endpoint ignored;
	int r = option_set_endpoint(&ignored, setting, err);

	return r < 0 ? r : option_set_text(member, setting, err);
}

# SPDX-License-Identifier: BSD-2-Clause
"""Lets Ansible run its tasks on the hosts of the recipe (tools/fleet/enter-host), in place of SSH."""
import pathlib
import shlex

from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: host
short_description: run tasks on a host of namespaces
description: In place of SSH, for hosts that share one kernel.
extends_documentation_fragment: [connection_pipelining]
options:
  pid:
    description: The first process of the host.
    vars: [{name: ansible_host}]
"""
ENTER = pathlib.Path(__file__).resolve().parents[2] / "enter-host"


class Connection(LocalConnection):
    transport = "host"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        words = [str(ENTER), str(self.get_option("pid")), "/bin/sh", "-c", cmd]
        return super().exec_command(shlex.join(words), in_data, sudoable)

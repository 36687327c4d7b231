# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ganeti_watcher_global_optspecs
	string join \n d/debug g/node-group= A/job-age= ignore-pause wait-children no-wait-children no-verify-disks no-strict rapi-ip= kill-hooks-after= starts-per-node= parallel-jobs= load-limit= start-degraded= timer dry-run version h/help
end

function __fish_ganeti_watcher_needs_command
	# Figure out if the current invocation already has a command.
	set -l cmd (commandline -opc)
	set -e cmd[1]
	argparse -s (__fish_ganeti_watcher_global_optspecs) -- $cmd 2>/dev/null
	or return
	if set -q argv[1]
		# Also print the command, so this can be used to figure out what it is.
		echo $argv[1]
		return 1
	end
	return 0
end

function __fish_ganeti_watcher_using_subcommand
	set -l cmd (__fish_ganeti_watcher_needs_command)
	test -z "$cmd"
	and return 1
	contains -- $cmd[1] $argv
end

complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -s g -l node-group -d 'Run only for this node group (a UUID)' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -s A -l job-age -d 'Autoarchive jobs older than this age (default 6 hours; suffixes s, m, h, d, w)' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l rapi-ip -d 'Use this IP to talk to RAPI' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l kill-hooks-after -d 'Kill a watcher hook that runs longer than this (default 10 minutes; suffixes s, m, h, d, w)' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l starts-per-node -d 'Start at most this many instances at once on a node (default 4)' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l parallel-jobs -d 'Run at most this many jobs at once in the whole cluster, always fewer than its max_running_jobs (default 16)' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l load-limit -d 'Start nothing on a node with at least this many busy processors, as reported by ganeti-mond' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l start-degraded -d 'Start an instance on its primary node alone when its secondary has been silent for this long (default never; suffixes s, m, h, d, w)' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -s d -l debug -d 'Increase debugging level'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l ignore-pause -d 'Ignore cluster pause setting'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l wait-children -d 'Wait for child processes (the default)'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l no-wait-children -d 'Don\'t wait for child processes'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l no-verify-disks -d 'Do not verify disk status'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l no-strict -d 'Verify disks without waiting for locks (Ganeti 3.1 and later)'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l timer -d 'For ganeti-watcher.timer: if cron calls the watcher as well, do nothing, say so and fail'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l dry-run -d 'Print what would be done and why, and do nothing'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -l version -d 'Show program\'s version number and exit'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -s h -l help -d 'Print help'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -f -a "simulate" -d 'Show how a simulated cluster comes back after an outage; needs no Ganeti and changes nothing'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_needs_command" -f -a "retry" -d 'Give instances all their tries back and end their waits'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l nodes -d 'Number of nodes' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l instances -d 'Number of instances, with DRBD disks where there are two nodes' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l broken -d 'Number of instances that cannot boot (default 3, or all where there are fewer)' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l outage -d 'What fails' -r -f -a "all\t'All nodes lose their power'
node\t'The last node loses its power, and comes back after the first run'
rack\t'Half of the nodes lose their power, and come back after the first run'
network\t'The last node cannot be reached, until after the first run'"
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l start -d 'How long a start takes, such as 29s, or 20s..40s' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l seed -d 'Seed of all random choices: the same seed gives the same story' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l speed -d 'Simulated seconds per real second, or \'max\' (default 240 on a terminal, otherwise \'max\')' -r
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l scenario -d 'Play this scenario file instead, then go on until nothing more can be done' -r -F
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -l directory -d 'Create this directory for the story\'s files, instead of a temporary one' -r -F
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand retry" -l all -d 'All instances that have something on record'
complete -c ganeti-watcher -n "__fish_ganeti_watcher_using_subcommand retry" -s h -l help -d 'Print help'

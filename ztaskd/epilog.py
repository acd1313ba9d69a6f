"""What `ztaskd --help` says at its end."""

EPILOG = """\
exit codes: 0 stopped cleanly, 1 crash (or stopped at once by QUIT or a second signal), 2 usage or settings,
3 address or node name in use, 4 pidfile, 5 database unreachable or not migrated, 6 no such task

examples:
  ztaskd                                               while you develop: reloads when you save
  ztaskd --noreload -l INFO -f /var/log/ztaskd.log     in production, under a supervisor
  ztaskd --noreload --http 8080                        /livez, /readyz and /metrics, for this machine alone
  ztaskd --noreload --log-format json -f ztaskd.log    for who collects logs: each line is a JSON object
  kill -USR2 $(cat ztaskd.pid)                         logrotate's postrotate (with --pidfile ztaskd.pid)
  ztaskd --noreload --replayfailed                     run the failed tasks again, oldest call first
  ztaskd --check                                       are settings, database and task modules fine?
  ztaskd status                                        who serves, what runs, what waits? (`top`: live; `ping`: is it there?)
  ztaskd stop                                          asks the daemon to stop, and waits until it is gone
  ztaskd list --status FAILED --since 1h               what has failed in the last hour?
  ztaskd show 0198c9f3-7a                              all about one task (the beginning of its id is enough)
  ztaskd explain 0198c9f3-7a                           why does it not run, or why has it failed?
  ztaskd replay --function 'shop.*' --rate 50/s        run failed tasks again, oldest call first (--dry-run: which?)
  ztaskd cancel 0198c9f3-7a                            it never starts, or is asked to end
  ztaskd pause --queue mail                            nothing of this queue starts any more (ztaskd resume: it does)
  ztaskd purge --until 30d --dry-run                   which tasks failed more than a month ago?
  ztaskd prune --older-than 7d --dry-run               how many tasks succeeded more than a week ago?
  ztaskd replay --help                                 each command has a help, and examples, of its own

signals (to the process id in --pidfile):
  TERM, INT    finishes what runs (up to --grace seconds), and exits 0; a second one stops at once
  QUIT         stops at once, exits 1; what ran is recovered at the next start
  HUP          reads the code anew: by a take-over, or (--noreload) by a stop and a start with the same process id, if
               the new code is fine
  USR1         logs what every slot and child process does (task, age, stack), and who has blocked the daemon
  USR2         opens the log file anew, for logrotate
"""

# Two rules for the test of the profile: one that fails, and one that needs more time than it asked for.


rule all:
    input:
        "late.txt",
        "broken.txt",


# Nothing but the profile says what it asks for.
rule broken:
    output:
        "broken.txt",
    log:
        "logs/broken.log",
    shell:
        "echo 'no such clip' > {log}; exit 3"


# A hundred seconds of work that goes on where it was stopped; the test gives it a minute, and SLURM half a minute more.
rule late:
    output:
        "late.txt",
    log:
        "logs/late.log",
    shell:
        "touch steps.txt; until [ $(wc -l < steps.txt) -ge 100 ]; do echo done >> steps.txt; sleep 1; done 2> {log};"
        " touch {output}"

"""PostgreSQL: who gets in, how, and to what."""

from typing import Any

import pytest

from tests.site import checks
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("store")[:1]
UNIT = "postgresql@17-main.service"
EXPORTER = "prometheus-postgres-exporter.service"
PORT = SITE.services["postgresql"]["port"]
TLS = SITE.variables["site_tls_dir"]
CERTIFICATE = f"sslrootcert={TLS}/ca.crt sslcert={TLS}/host.crt sslkey={TLS}/host.key"


def connect(host: Any, login: str, password: str = "", sql: str = "SELECT current_user") -> Any:
    """Run one statement as a client of the network would."""
    password = password or SITE.secrets["postgresql_mlflow"]
    target = f"host={SITE.address(host)} port={PORT} user=mlflow connect_timeout=5 {login}"
    return host.run("PGPASSWORD=%s psql -XAtc %s %s", password, sql, target)


def administer(host: Any, sql: str) -> str:
    return host.check_output("runuser -u postgres -- psql -XAt -d postgres -c %s", sql)


@pytest.mark.parametrize(("unit", "user"), [(UNIT, "postgres"), (EXPORTER, "prometheus")])
def test_unit(host: Any, unit: str, user: str) -> None:
    checks.check_unit(host, unit)
    checks.check_runs_as(host, unit, user)
    checks.check_memory(host, unit)


def test_listens(host: Any) -> None:
    address = SITE.address(host)
    checks.check_listens(host, UNIT, {(address, PORT)})
    checks.check_listens(host, EXPORTER, {(address, SITE.services["postgresql_metrics"]["port"])})


def test_client_with_certificate_and_password_gets_in(host: Any) -> None:
    answer = connect(host, f"dbname=mlflow sslmode=verify-full {CERTIFICATE}")
    assert answer.rc == 0, answer.stderr
    assert answer.stdout.strip() == "mlflow"


@pytest.mark.parametrize(
    ("login", "password", "refusal"),
    [
        ("dbname=mlflow sslmode=disable", "", "no encryption"),
        ("dbname=mlflow sslmode=require sslcert=/none sslkey=/none", "", "valid client certificate"),
        (f"dbname=mlflow sslmode=verify-full {CERTIFICATE}", "wrong", "password authentication failed"),
        (f"dbname=postgres sslmode=verify-full {CERTIFICATE}", "", "no pg_hba.conf entry"),
        (f"dbname=template1 sslmode=verify-full {CERTIFICATE}", "", "no pg_hba.conf entry"),
    ],
    ids=["plain text", "no certificate", "wrong password", "another database", "the template"],
)
def test_refused(host: Any, login: str, password: str, refusal: str) -> None:
    answer = connect(host, login, password)
    assert answer.rc == 2, f"let in as {answer.stdout}"
    assert refusal in answer.stderr


def test_a_client_owns_its_database_and_nothing_else(host: Any) -> None:
    may_connect = "has_database_privilege('mlflow', oid, 'CONNECT') AND datallowconn"
    assert administer(host, f"SELECT datname FROM pg_database WHERE {may_connect}") == "mlflow"


@pytest.mark.parametrize("role", ["mlflow", "exporter"])
def test_roles_have_no_powers(host: Any, role: str) -> None:
    powers = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
    assert administer(host, f"SELECT {powers} FROM pg_roles WHERE rolname = '{role}'") == "f"


def test_passwords_are_kept_as_scram(host: Any) -> None:
    kinds = "SELECT DISTINCT left(rolpassword, 14) FROM pg_authid WHERE rolname IN ('mlflow', 'exporter')"
    assert administer(host, kinds) == "SCRAM-SHA-256$"


def test_only_the_roles_that_are_set_count_as_set(host: Any) -> None:
    stamps = host.check_output("ls /var/lib/postgresql/17/main | grep ^millrace-roles-").split()
    assert len(stamps) == 1, "a password that comes back would not be set again"


def exported(host: Any, certificate: str = f"--cert {TLS}/host.crt --key {TLS}/host.key") -> Any:
    """What the exporter answers to a client with (or without) a certificate."""
    url = f"https://{SITE.address(host)}:{SITE.services['postgresql_metrics']['port']}/metrics"
    return host.run(f"curl -sS --cacert {TLS}/ca.crt {certificate} {url}")


def sees_the_server(host: Any) -> bool:
    """One of two scrapes at a time may say 0: the other closes the connection that they share."""
    return "pg_up 1" in exported(host).stdout.splitlines()


def test_exporter_sees_the_server(host: Any) -> None:
    checks.wait_for("the exporter sees the server", lambda: sees_the_server(host), 20)
    answer = exported(host)
    assert 'pg_database_size_bytes{datname="mlflow"}' in answer.stdout, "it may not see a database's size"


def test_exporter_demands_a_certificate(host: Any) -> None:
    answer = exported(host, certificate="")
    assert answer.rc != 0, "answers anyone"
    assert "certificate required" in answer.stderr


def test_survives_a_restart(host: Any) -> None:
    def answers() -> bool:
        return connect(host, f"dbname=mlflow sslmode=verify-full {CERTIFICATE}").rc == 0

    checks.check_survives_restart(host, UNIT, answers)
    checks.check_survives_restart(host, EXPORTER, lambda: sees_the_server(host))

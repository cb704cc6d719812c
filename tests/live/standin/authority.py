"""What the agents of the cluster trust each other by: a CA of the cluster's own, and a key for gossip."""

import base64
import secrets

import trustme

from harness.lab.running_host import File

CA = "cluster-ca.pem"
_GOSSIP_BYTES = 32  # nomad, `nomad operator gossip keyring generate`


class ClusterAuthority:
    """The CA of the Nomad cluster, which is not that of the lab: as in most clusters, nobody else knows it.

    Certificates are as `nomad tls cert create` makes them: they name a role and no address, so that whoever
    comes by an address must set NOMAD_TLS_SERVER_NAME.
    """

    def __init__(self) -> None:
        """Make a CA and a gossip key."""
        self._ca = trustme.CA(organization_name="the stand-in's Nomad agents")
        self.gossip = base64.b64encode(secrets.token_bytes(_GOSSIP_BYTES)).decode()

    @property
    def pem(self) -> bytes:
        """The CA's certificate."""
        return self._ca.cert_pem.bytes()

    def files(self, role: str) -> tuple[File, ...]:
        """What an agent is given: the CA's certificate, its own, and its key.

        Args:
            role: `server` or `client`, which is what a certificate is checked for between agents.
        """
        issued = self._ca.issue_cert(tls_name(role), "localhost", "127.0.0.1")
        return (
            File(CA, self.pem),
            File("tls.pem", b"".join(blob.bytes() for blob in issued.cert_chain_pems)),
            File("tls.key", issued.private_key_pem.bytes(), 0o600),
        )


def tls_name(role: str) -> str:
    """The name in the certificates of a role, in Nomad's region `global`."""
    return f"{role}.global.nomad"

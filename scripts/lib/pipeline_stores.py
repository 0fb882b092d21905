"""Servers of object stores on loopback, each behind a proxy that fails some of the requests."""
import json
import os
import random
import socket
import subprocess
import sys
import time

# The bucket, or in Azure the container.
BUCKET = "pipeline"


def say(text):
    print(text, flush=True)


def fail(text):
    say(f"FAIL: {text}")
    sys.exit(1)


def free_port():
    """A free port of which the port 10,000 above is free, too: SeaweedFS takes both. Both are below the ports that the
    system gives to connections."""
    while True:
        port = random.SystemRandom().randrange(11000, 21000)
        try:
            with socket.socket() as one, socket.socket() as other:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10000))
            return port
        except OSError:
            continue


def wait_for_port(port, process, what, output=None):
    for _ in range(600):
        if process.poll() is not None:
            said = open(output).read()[-2000:] if output else ""
            fail(f"{what} has ended with {process.returncode}\n{said}")
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    fail(f"{what} does not listen")


class Store:
    """A server, and the proxy. A subclass says how the server is started, and talks to the server with its vendor's client."""

    def __init__(self, place, every):
        self.port, self.proxy_port = free_port(), free_port()
        output = f"{place}/server.out"
        self.processes = [
            subprocess.Popen(self.server(place), stdout=open(output, "w"), stderr=subprocess.STDOUT)
        ]
        wait_for_port(self.port, self.processes[0], type(self).__name__, output)
        proxy = os.path.join(os.path.dirname(__file__), "fault_proxy.py")
        self.processes.append(
            subprocess.Popen([sys.executable, proxy, str(self.proxy_port), str(self.port), str(every)])
        )
        wait_for_port(self.proxy_port, self.processes[1], "the proxy")
        for _ in range(100):
            try:
                self.make_bucket()
                break
            except Exception as error:
                last = error
                time.sleep(0.3)
        else:
            fail(f"no bucket: {last}")

    def environment(self):
        """What the command is told, with the credentials."""
        return os.environ | self.settings(f"http://127.0.0.1:{self.proxy_port}")

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


class S3(Store):
    scheme, secret = "s3", "secretofthepipeline"

    def make_bucket(self):
        import boto3

        self.client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1",
            aws_access_key_id="key", aws_secret_access_key=self.secret,
        )
        self.client.create_bucket(Bucket=BUCKET)

    def settings(self, endpoint):
        return {
            "AWS_ENDPOINT": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
        }

    def keys(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def get(self, key):
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()


class Moto(S3):
    def server(self, place):
        return [f"{os.path.dirname(sys.executable)}/moto_server", "-H", "127.0.0.1", "-p", str(self.port)]


class SeaweedFS(S3):
    def server(self, place):
        config = f"{place}/identities.json"
        with open(config, "w") as out:
            keys = [{"accessKey": "key", "secretKey": self.secret}]
            everything = ["Admin", "Read", "List", "Write", "Tagging"]
            identity = {"name": "all", "credentials": keys, "actions": everything}
            json.dump({"identities": [identity]}, out)
        os.mkdir(f"{place}/weed")
        return [
            f"{os.path.dirname(sys.executable)}/weed", "server", f"-dir={place}/weed", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64",
            "-volume.max=50", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-master.port={free_port()}", f"-volume.port={free_port()}", f"-filer.port={free_port()}",
            "-s3", f"-s3.port={self.port}", f"-s3.config={config}",
        ]


class Azurite(Store):
    # The account and its key are those that every Azurite has.
    scheme, account = "az", "devstoreaccount1"
    secret = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def server(self, place):
        command = os.environ.get("AZURITE", "azurite-blob")
        return [
            command, "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", f"{place}/azurite",
            "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
        ]

    def make_bucket(self):
        from azure.storage.blob import BlobServiceClient

        client = BlobServiceClient(
            f"http://127.0.0.1:{self.port}/{self.account}", credential=self.secret)
        self.container = client.create_container(BUCKET)

    def settings(self, endpoint):
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.secret,
            "AZURE_STORAGE_ENDPOINT": f"{endpoint}/{self.account}",
            "AZURE_ALLOW_HTTP": "true",
        }

    def keys(self):
        return {blob.name: blob.size for blob in self.container.list_blobs()}

    def get(self, key):
        return self.container.download_blob(key).readall()


SERVERS = {"moto": Moto, "seaweedfs": SeaweedFS, "azurite": Azurite}

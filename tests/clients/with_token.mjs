// Passes requests on to a server, with the token that the conformance suite has no option for: a proxy such as people put before
// a server. It prints its port. It must not change anything else.
//
//   node with_token.mjs http://HOST:PORT TOKEN
import http from "node:http";

const [address, token] = process.argv.slice(2);
const { hostname, port } = new URL(address);

const proxy = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${token}` };
  const options = { hostname, port, path: request.url, method: request.method, headers };
  const onward = http.request(options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  response.on("close", () => onward.destroy());
  onward.on("error", () => response.destroy());
  request.pipe(onward);
});
proxy.listen(0, "127.0.0.1", () => console.log(proxy.address().port));

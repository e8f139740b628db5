// The official JavaScript SDK (@binance/derivatives-trading-usds-futures).
import { DerivativesTradingUsdsFutures } from "@binance/derivatives-trading-usds-futures";

const { SIM_URL: URL_, SIM_KEY: KEY, SIM_SECRET: SECRET } = process.env;
const FAULTS = JSON.parse(process.env.SIM_FAULTS ?? "[]");
const symbol = "BTCUSDT";

function onlyLoopback(address) {
  if (!["127.0.0.1", "localhost"].includes(new URL(address).hostname)) {
    console.error(`not on loopback, so nothing is sent: ${address}`);
    process.exit(1);
  }
}
onlyLoopback(URL_);

const report = (row) => console.log(JSON.stringify(row));
const brief = (error) => `${error.name ?? "Error"}: ${String(error.message).replace(/\s+/g, " ").slice(0, 160)}`;

async function control(method, path, body) {
  const reply = await fetch(URL_ + path, { method, body: body && JSON.stringify(body) });
  return reply.json();
}

function client() {
  const configurationRestAPI = { apiKey: KEY, apiSecret: SECRET, basePath: URL_, timeout: 5000 };
  const made = new DerivativesTradingUsdsFutures({ configurationRestAPI });
  onlyLoopback(made.restAPI.configuration?.basePath ?? configurationRestAPI.basePath);
  return made.restAPI;
}

let api = client();

async function op(name, call, check) {
  try {
    const result = await call();
    if (check && !check(result)) throw new Error(`not what was expected: ${JSON.stringify(result).slice(0, 300)}`);
    report({ op: name, ok: true });
    return result;
  } catch (error) {
    report({ op: name, ok: false, outcome: brief(error) });
    return undefined;
  }
}

const data = async (call, parameters) => (await (await call).data());

async function ops() {
  await control("POST", "/sim/reset");
  const s = { symbol };
  const ask = (name, parameters) => data(api[name](parameters));
  await op("server time", () => ask("checkServerTime"), (r) => r.serverTime > 0);
  await op("markets", () => ask("exchangeInformation"), (r) => r.symbols.length === 3);
  await op("depth", () => ask("orderBook", { ...s, limit: 5 }), (r) => r.bids.length === 5);
  await op("klines", () => ask("klineCandlestickData", { ...s, interval: "1m", limit: 3 }), (r) => r.length === 3);
  await op("ticker 24h", () => ask("ticker24hrPriceChangeStatistics", s));
  await op("ticker price", () => ask("symbolPriceTicker", s));
  await op("book ticker", () => ask("symbolOrderBookTicker", s));
  await op("mark price", () => ask("markPrice", s));
  await op("funding rate", () => ask("getFundingRateHistory", { ...s, limit: 3 }), (r) => r.length === 3);
  await op("balance v2", () => ask("futuresAccountBalanceV2"), (r) => Number(r[0].balance) === 10000);
  await op("balance v3", () => ask("futuresAccountBalanceV3"), (r) => Number(r[0].balance) === 10000);
  await op("account v2", () => ask("accountInformationV2"), (r) => r.assets.length === 1);
  await op("account v3", () => ask("accountInformationV3"), (r) => r.assets.length === 1);
  await op("account configuration", () => ask("futuresAccountConfiguration"), (r) => r.canTrade);
  await op("symbol configuration", () => ask("symbolConfiguration", s), (r) => r[0].leverage === 20);
  await op("position mode", () => ask("getCurrentPositionMode"), (r) => r.dualSidePosition === false);
  await op("set position mode", async () => {
    for (const dualSidePosition of ["true", "false"]) await ask("changePositionMode", { dualSidePosition });
  });
  await op("multi-assets mode", () => ask("getCurrentMultiAssetsMode"), (r) => r.multiAssetsMargin === false);
  await op("leverage", () => ask("changeInitialLeverage", { ...s, leverage: 10 }), (r) => r.leverage === 10);
  await op("margin type", async () => {
    for (const marginType of ["ISOLATED", "CROSSED"]) await ask("changeMarginType", { ...s, marginType });
  });
  await op("brackets", () => ask("notionalAndLeverageBrackets", s), (r) => r[0].brackets.length === 10);
  await op("commission", () => ask("userCommissionRate", s), (r) => Number(r.takerCommissionRate) === 0.0005);
  const market = { ...s, side: "BUY", type: "MARKET", quantity: 0.1 };
  const limit = { ...s, side: "BUY", type: "LIMIT", quantity: 0.01, price: 63000, timeInForce: "GTC" };
  await op("test order", () => ask("testOrder", market));
  const made = await op("limit order", () => ask("newOrder", { ...limit, newClientOrderId: "l-1" }), (r) => r.status === "NEW");
  const named = { ...s, orderId: made?.orderId };
  await op("query order", () => ask("queryOrder", named), (r) => r.clientOrderId === "l-1");
  await op("open order", () => ask("queryCurrentOpenOrder", named), (r) => r.clientOrderId === "l-1");
  await op("open orders", () => ask("currentAllOpenOrders", s), (r) => r.length === 1);
  await op("cancel order", () => ask("cancelOrder", named), (r) => r.status === "CANCELED");
  await ask("newOrder", limit);
  await op("cancel all", () => ask("cancelAllOpenOrders", s));
  await op("market order", () => ask("newOrder", { ...market, newOrderRespType: "RESULT" }), (r) => r.status === "FILLED");
  await op("all orders", () => ask("allOrders", s), (r) => r.length === 3);
  await op("positions v2", () => ask("positionInformationV2", s), (r) => Number(r[0].positionAmt) === 0.1);
  await op("positions v3", () => ask("positionInformationV3", s), (r) => Number(r[0].positionAmt) === 0.1);
  const stop = { ...s, algoType: "CONDITIONAL", side: "SELL", type: "STOP_MARKET", triggerPrice: 60000, quantity: 0.1, reduceOnly: "true" };
  await op("stop order", () => ask("newAlgoOrder", { ...stop, clientAlgoId: "s-1" }), (r) => r.algoStatus === "NEW");
  await op("query stop", () => ask("queryAlgoOrder", { clientAlgoId: "s-1" }), (r) => r.algoStatus === "NEW");
  await op("open stops", () => ask("currentAllAlgoOpenOrders", s), (r) => r.length === 1);
  await op("cancel stop", () => ask("cancelAlgoOrder", { clientAlgoId: "s-1" }), (r) => r.msg === "success");
  await ask("newAlgoOrder", stop);
  await op("cancel all stops", () => ask("cancelAllAlgoOpenOrders", s));
  await op("all stops", () => ask("queryAllAlgoOrders", s), (r) => r.length === 2);
  await op("trades", () => ask("accountTradeList", s), (r) => r.length === 1);
  await op("income", () => ask("getIncomeHistory", { incomeType: "COMMISSION" }), (r) => Number(r[0].income) === -3.2);
}

async function faults() {
  for (const [number, fault] of FAULTS.entries()) {
    await control("POST", "/sim/reset");
    api = client();
    await control("POST", "/sim/faults", fault.fault);
    let outcome;
    try {
      const order = { symbol, side: "BUY", type: "MARKET", quantity: 0.01, newClientOrderId: `fault-${number}` };
      outcome = `success: ${(await data(api.newOrder(order))).status}`;
    } catch (error) {
      outcome = brief(error);
    }
    const { orders } = await control("GET", "/sim/orders");
    report({ fault: fault.name, outcome, sent: orders.length, filled: orders.filter((o) => o.outcome === "filled").length });
  }
}

await (process.argv[2] === "ops" ? ops() : faults());

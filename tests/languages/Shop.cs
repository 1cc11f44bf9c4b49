using System;
using System.Collections.Generic;
using Json = Newtonsoft.Json.Linq;
using static System.Math;

namespace Example.Shop
{
    /// <summary>What a customer bought. Once.</summary>
    public class Order<T> : Base, INamed where T : class
    {
        private const int Limit = 10;
        private readonly Store _store;
        public string Name { get; set; }
        public event EventHandler Changed;

        public Order(Store store)
        {
            _store = store;
        }

        [Obsolete]
        public async Task<int> Total(string currency, int hour = 1)
        {
            var line = new Line();
            return await line.Price();
        }

        public int Twice => 2;
    }

    public interface INamed
    {
        string Name { get; }
    }

    public enum State { Open, Closed }
    public record Price(int Amount, string Currency);
    public struct Pair { public int A; }
    public delegate void Handler(object sender);
}
